package main

import (
	"context"
	"fmt"

	"github.com/tektoncd/pipeline/pkg/apis/pipeline"
	v1 "github.com/tektoncd/pipeline/pkg/apis/pipeline/v1"
	"github.com/tektoncd/pipeline/pkg/pod"
	"github.com/tektoncd/pipeline/pkg/reconciler/taskrun"
	"github.com/tektoncd/pipeline/pkg/reconciler/taskrun/resources"
	"github.com/tektoncd/pipeline/pkg/workspace"
	"go.uber.org/zap"
	corev1 "k8s.io/api/core/v1"
)

// The names of the controller's own images.
var images = pipeline.Images{
	EntrypointImage:     "tekton.example/entrypoint",
	ShellImage:          "tekton.example/shell",
	WorkingDirInitImage: "tekton.example/workingdirinit",

	SidecarLogResultsImage: "tekton.example/sidecarlogresults",
}

// runTask does what the controller does for a TaskRun, with the controller's functions and in its order, lets the
// kubelet run the Pod, and has the controller read the result.
func runTask(ctx context.Context, c *cluster, kubelet *kubelet, run *v1.TaskRun) ([]stepReport, error) {
	made, spec, applied, err := podOf(ctx, c, run)
	if err != nil {
		return nil, err
	}
	reports, err := kubelet.run(made)
	if err != nil {
		return reports, err
	}
	run.Status.TaskSpec, run.Status.PodName = applied, made.Name
	run.Status, err = pod.MakeTaskRunStatus(ctx, zap.NewNop().Sugar(), *run, made, c.kube, applied)
	if err == nil && made.Status.Phase == corev1.PodSucceeded {
		err = typesHold(run, spec)
	}
	return reports, err
}

// podOf creates the Pod of a TaskRun; it also returns the Task as resolved, and with everything substituted.
func podOf(ctx context.Context, c *cluster, run *v1.TaskRun) (*corev1.Pod, *v1.TaskSpec, *v1.TaskSpec, error) {
	run.SetDefaults(ctx)
	if err := run.Validate(ctx); err != nil {
		return nil, nil, nil, fmt.Errorf("TaskRun: %w", err)
	}
	getTask := resources.GetTaskFuncFromTaskRun(ctx, c.kube, c.tekton, nil, run, nil)
	meta, spec, err := resources.GetTaskData(ctx, run, getTask)
	if err != nil {
		return nil, nil, nil, err
	}
	if spec.Steps, err = resources.GetStepActionsData(ctx, *spec, run, c.tekton, c.kube, nil); err != nil {
		return nil, nil, nil, err
	}
	resolved := &resources.ResolvedTask{TaskName: meta.Name, TaskSpec: spec, Kind: resources.GetTaskKind(run)}
	if err := taskrun.ValidateResolvedTask(ctx, run.Spec.Params, &v1.Matrix{}, resolved); err != nil {
		return nil, nil, nil, err
	}
	if err := resources.ValidateParamArrayIndex(spec, run.Spec.Params); err != nil {
		return nil, nil, nil, err
	}
	if err := workspace.ValidateBindings(ctx, spec.Workspaces, run.Spec.Workspaces); err != nil {
		return nil, nil, nil, err
	}

	volumes := workspace.CreateVolumes(run.Spec.Workspaces)
	applied := resources.ApplyParameters(spec.DeepCopy(), run, spec.Params...)
	applied = resources.ApplyContexts(applied, resolved.TaskName, run)
	applied = resources.ApplyResults(applied)
	applied = resources.ApplyArtifacts(applied)
	applied = resources.ApplyStepExitCodePath(applied)
	applied = resources.ApplyWorkspaces(ctx, applied, applied.Workspaces, run.Spec.Workspaces, volumes)
	if err := v1.ValidateUsageOfDeclaredParameters(ctx, applied.Steps, applied.Params); err != nil {
		return nil, nil, nil, err
	}
	if err := applied.Validate(ctx); err != nil {
		return nil, nil, nil, err
	}
	if applied, err = workspace.Apply(ctx, *applied, run.Spec.Workspaces, volumes); err != nil {
		return nil, nil, nil, err
	}
	applied = resources.ApplyCredentialsPath(applied, pipeline.CredsDir)

	builder := pod.Builder{Images: images, KubeClient: c.kube}
	made, err := builder.Build(ctx, run, *applied)
	return made, spec, applied, err
}

// typesHold checks that each result has the type declared in the Task; otherwise Tekton fails the TaskRun.
func typesHold(run *v1.TaskRun, spec *v1.TaskSpec) error {
	for _, declared := range spec.Results {
		for _, result := range run.Status.Results {
			if result.Name != declared.Name {
				continue
			}
			if result.Type != declared.Type {
				return fmt.Errorf("the result %s is of type %s, not %s", result.Name, result.Type, declared.Type)
			}
			for key := range declared.Properties {
				if _, is := result.Value.ObjectVal[key]; !is {
					return fmt.Errorf("the result %s lacks %s", result.Name, key)
				}
			}
		}
	}
	return nil
}
