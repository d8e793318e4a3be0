package main

import (
	"context"
	"fmt"
	"path/filepath"

	v1 "github.com/tektoncd/pipeline/pkg/apis/pipeline/v1"
	"github.com/tektoncd/pipeline/pkg/reconciler/pipeline/dag"
	"github.com/tektoncd/pipeline/pkg/reconciler/pipelinerun/resources"
	tasks "github.com/tektoncd/pipeline/pkg/reconciler/taskrun/resources"
	kerrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/sets"
)

// runPipeline runs the tasks of a PipelineRun one after the other, in an order that the controller allows, with params
// and results substituted by its functions.
func runPipeline(ctx context.Context, c *cluster, kubelet *kubelet, run *v1.PipelineRun) (*report, error) {
	run.SetDefaults(ctx)
	if err := run.Validate(ctx); err != nil {
		return nil, fmt.Errorf("PipelineRun: %w", err)
	}
	spec := run.Spec.PipelineSpec
	if spec == nil {
		pipeline, is := c.objects["pipelines/"+run.Spec.PipelineRef.Name].(*v1.Pipeline)
		if !is {
			return nil, fmt.Errorf("there is no Pipeline %s", run.Spec.PipelineRef.Name)
		}
		spec = pipeline.Spec.DeepCopy()
	}
	spec, err := prepared(ctx, spec, run)
	if err != nil {
		return nil, err
	}
	graph, err := dag.Build(v1.PipelineTaskList(spec.Tasks), v1.PipelineTaskList(spec.Tasks).Deps())
	if err != nil {
		return nil, err
	}
	report := &report{Results: map[string]v1.ResultValue{}}
	state := resources.PipelineRunState{}
	done := sets.Set[string]{}
	for done.Len() < len(spec.Tasks) {
		candidates, err := dag.GetCandidateTasks(graph, sets.List(done)...)
		if err != nil {
			return nil, err
		}
		name := sets.List(sets.New(candidates.UnsortedList()...))[0]
		resolved, err := resolve(ctx, c, run, task(spec, name), state)
		if err != nil {
			return report, fmt.Errorf("%s: %w", name, err)
		}
		runs, err := taskRuns(resolved, run)
		if err != nil {
			return report, fmt.Errorf("%s: %w", name, err)
		}
		for _, taskRun := range runs {
			one := reportOf(ctx, c, kubelet, taskRun)
			report.TaskRuns = append(report.TaskRuns, one)
			if !one.Succeeded {
				return report, fmt.Errorf("%s failed: %s", name, one.Message)
			}
		}
		// The lists of a matrix's results are created when another task uses them, but not for the Pipeline's results.
		resolved.TaskRuns = runs
		state = append(state, resolved)
		done.Insert(name)
	}
	results, err := resources.ApplyTaskResultsToPipelineResults(spec.Results, state.GetTaskRunsResults(), nil, nil)
	for _, result := range results {
		report.Results[result.Name] = result.Value
	}
	return report, err
}

// prepared validates the run's params and workspaces, and substitutes them.
func prepared(ctx context.Context, spec *v1.PipelineSpec, run *v1.PipelineRun) (*v1.PipelineSpec, error) {
	spec.SetDefaults(ctx)
	if err := resources.ValidateRequiredParametersProvided(&spec.Params, &run.Spec.Params); err != nil {
		return nil, err
	}
	if err := resources.ValidateParamTypesMatching(spec, run); err != nil {
		return nil, err
	}
	if err := resources.ValidateWorkspaceBindings(spec, run); err != nil {
		return nil, err
	}
	resources.ApplyParametersToWorkspaceBindings(run)
	spec, err := resources.ApplyParameters(spec, run)
	if err != nil {
		return nil, err
	}
	spec = resources.ApplyContexts(spec, run.Name, run)
	return resources.ApplyWorkspaces(spec, run), nil
}

func task(spec *v1.PipelineSpec, name string) v1.PipelineTask {
	for _, task := range spec.Tasks {
		if task.Name == name {
			return task
		}
	}
	return v1.PipelineTask{}
}

func resolve(ctx context.Context, c *cluster, run *v1.PipelineRun, task v1.PipelineTask,
	state resources.PipelineRunState) (*resources.ResolvedPipelineTask, error) {
	getTask := tasks.GetTaskFunc(ctx, c.kube, c.tekton, nil, run, task.TaskRef, "", namespace, "", nil)
	noTaskRun := func(name string) (*v1.TaskRun, error) {
		return nil, kerrors.NewNotFound(schema.GroupResource{Resource: "taskruns"}, name)
	}
	resolved, err := resources.ResolvePipelineTask(ctx, *run, nil, getTask, noTaskRun, nil, task, state)
	if err != nil {
		return nil, err
	}
	if err := resources.CheckMissingResultReferences(state, resolved); err != nil {
		return nil, err
	}
	if err := resources.ValidateOptionalWorkspaces(nil, append(state, resolved)); err != nil {
		return nil, err
	}
	resources.PropagateResults(resolved, state)
	return resolved, nil
}

// taskRuns creates the TaskRuns of a task: one, or one for each combination of its matrix.
func taskRuns(resolved *resources.ResolvedPipelineTask, run *v1.PipelineRun) ([]*v1.TaskRun, error) {
	task := resolved.PipelineTask
	var combinations []v1.Params
	if task.IsMatrixed() {
		combinations = task.Matrix.FanOut()
	}
	workspaces, err := bindings(resolved, run)
	if err != nil {
		return nil, err
	}
	var runs []*v1.TaskRun
	for at, name := range resolved.TaskRunNames {
		var params v1.Params
		if at < len(combinations) {
			params = append(params, combinations[at]...)
		}
		taskRun := &v1.TaskRun{
			ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: namespace},
			Spec: v1.TaskRunSpec{
				Params:             append(params, task.Params...),
				Workspaces:         workspaces,
				ServiceAccountName: run.Spec.TaskRunTemplate.ServiceAccountName,
			},
		}
		if resolved.ResolvedTask.TaskName != "" {
			taskRun.Spec.TaskRef = task.TaskRef
		} else {
			taskRun.Spec.TaskSpec = resolved.ResolvedTask.TaskSpec.DeepCopy()
		}
		runs = append(runs, taskRun)
	}
	return runs, nil
}

// bindings passes the volumes of the run's workspaces on; optional ones may be unbound.
func bindings(resolved *resources.ResolvedPipelineTask, run *v1.PipelineRun) ([]v1.WorkspaceBinding, error) {
	bound := map[string]v1.WorkspaceBinding{}
	for _, binding := range run.Spec.Workspaces {
		bound[binding.Name] = binding
	}
	optional := map[string]bool{}
	for _, workspace := range resolved.ResolvedTask.TaskSpec.Workspaces {
		optional[workspace.Name] = workspace.Optional
	}
	var workspaces []v1.WorkspaceBinding
	for _, workspace := range resolved.PipelineTask.Workspaces {
		from := workspace.Workspace
		if from == "" {
			from = workspace.Name
		}
		binding, is := bound[from]
		if !is && !optional[workspace.Name] {
			return nil, fmt.Errorf("the workspace %s is not bound", from)
		}
		if is {
			binding.Name, binding.SubPath = workspace.Name, filepath.Join(binding.SubPath, workspace.SubPath)
			workspaces = append(workspaces, binding)
		}
	}
	return workspaces, nil
}
