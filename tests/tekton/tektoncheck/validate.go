package main

import (
	"context"
	"fmt"
	"slices"

	v1 "github.com/tektoncd/pipeline/pkg/apis/pipeline/v1"
	"github.com/tektoncd/pipeline/pkg/apis/pipeline/v1beta1"
)

// validateFiles applies admission's defaults to each resource and validates it as admission would, then by the rules of
// catalogs, and checks that Pipelines and runs pass Tasks what those declare.
func validateFiles(files []string) (int, []string) {
	resources, err := loadAll(files, nil)
	if err != nil {
		return 0, []string{err.Error()}
	}
	ctx := context.Background()
	var wrong []string
	tasks := map[string]*v1.Task{}
	actions := map[string]*v1beta1.StepAction{}
	for _, resource := range resources {
		if is, ok := resource.object.(tektonObject); ok {
			is.SetDefaults(ctx)
			// Admission sees the generated name of a run.
			if resource.object.GetName() == "" && resource.object.GetGenerateName() != "" {
				resource.object.SetName(resource.object.GetGenerateName() + "x")
			}
			if err := is.Validate(ctx); err != nil {
				wrong = append(wrong, fmt.Sprintf("%s: %v", resource, err))
			}
		}
		switch is := resource.object.(type) {
		case *v1.Task:
			tasks[is.Name] = is
			wrong = append(wrong, catalogued(resource, is.Spec.Description, is.Spec.Params, is.Spec.Steps)...)
		case *v1beta1.StepAction:
			actions[is.Name] = is
			step := v1.Step{Image: is.Spec.Image, Command: is.Spec.Command, Script: is.Spec.Script, Env: is.Spec.Env,
				SecurityContext: is.Spec.SecurityContext}
			wrong = append(wrong, catalogued(resource, is.Spec.Description, is.Spec.Params, []v1.Step{step})...)
		}
	}
	for _, resource := range resources {
		for _, use := range uses(resource) {
			wrong = append(wrong, use.wrong(tasks, actions)...)
		}
	}
	return len(resources), wrong
}

// use is a reference to a Task or StepAction by name.
type use struct {
	where      string
	task       string
	action     string
	params     []string
	workspaces []string
}

func uses(resource resource) []use {
	var found []use
	where := resource.String()
	switch is := resource.object.(type) {
	case *v1.TaskRun:
		if is.Spec.TaskRef != nil {
			use := use{where: where, task: called(is.Spec.TaskRef.Name, is.Spec.TaskRef.ResolverRef), params: names(is.Spec.Params)}
			for _, workspace := range is.Spec.Workspaces {
				use.workspaces = append(use.workspaces, workspace.Name)
			}
			found = append(found, use)
		}
		if is.Spec.TaskSpec != nil {
			found = append(found, stepUses(where, is.Spec.TaskSpec.Steps)...)
		}
	case *v1.Pipeline:
		found = taskUses(where, is.Spec.Tasks)
	case *v1.PipelineRun:
		if is.Spec.PipelineSpec != nil {
			found = taskUses(where, is.Spec.PipelineSpec.Tasks)
		}
	}
	return found
}

func taskUses(where string, tasks []v1.PipelineTask) []use {
	var found []use
	for _, task := range tasks {
		where := where + ": " + task.Name
		if task.TaskSpec != nil {
			found = append(found, stepUses(where, task.TaskSpec.Steps)...)
			continue
		}
		use := use{where: where, task: called(task.TaskRef.Name, task.TaskRef.ResolverRef), params: names(task.Params)}
		if task.Matrix != nil {
			use.params = append(use.params, names(task.Matrix.Params)...)
		}
		for _, workspace := range task.Workspaces {
			use.workspaces = append(use.workspaces, workspace.Name)
		}
		found = append(found, use)
	}
	return found
}

func stepUses(where string, steps []v1.Step) []use {
	var found []use
	for _, step := range steps {
		if step.Ref != nil {
			found = append(found, use{where: where + ": " + step.Name, action: called(step.Ref.Name, step.Ref.ResolverRef),
				params: names(step.Params)})
		}
	}
	return found
}

// called is the name of the referenced resource: its own, or the one within a bundle.
func called(name string, by v1.ResolverRef) string {
	for _, param := range by.Params {
		if param.Name == "name" {
			return param.Value.StringVal
		}
	}
	return name
}

func names(params v1.Params) []string {
	var names []string
	for _, param := range params {
		names = append(names, param.Name)
	}
	return names
}

// wrong compares what is passed with what is declared.
func (u use) wrong(tasks map[string]*v1.Task, actions map[string]*v1beta1.StepAction) []string {
	var specs v1.ParamSpecs
	var wrong []string
	say := func(format string, values ...any) {
		wrong = append(wrong, u.where+": "+fmt.Sprintf(format, values...))
	}
	if u.action != "" {
		action := actions[u.action]
		if action == nil {
			say("there is no StepAction %s", u.action)
			return wrong
		}
		specs = action.Spec.Params
	} else {
		task := tasks[u.task]
		if task == nil {
			say("there is no Task %s", u.task)
			return wrong
		}
		specs = task.Spec.Params
		declared := map[string]bool{}
		for _, workspace := range task.Spec.Workspaces {
			declared[workspace.Name] = true
			if !workspace.Optional && !slices.Contains(u.workspaces, workspace.Name) {
				say("the workspace %s is missing", workspace.Name)
			}
		}
		for _, workspace := range u.workspaces {
			if !declared[workspace] {
				say("%s has no workspace %s", u.task, workspace)
			}
		}
	}
	declared := map[string]bool{}
	for _, spec := range specs {
		declared[spec.Name] = true
		if spec.Default == nil && !slices.Contains(u.params, spec.Name) {
			say("the param %s is missing", spec.Name)
		}
	}
	for _, param := range u.params {
		if !declared[param] {
			say("%s%s has no param %s", u.task, u.action, param)
		}
	}
	return wrong
}
