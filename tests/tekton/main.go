// Tektoncheck lets Tekton's own code judge and run the Tasks, StepActions and Pipelines of this repository.
package main

import (
	_ "github.com/tektoncd/pipeline/pkg/apis/pipeline/v1"
	_ "github.com/tektoncd/pipeline/pkg/apis/pipeline/v1beta1"
	_ "github.com/tektoncd/pipeline/pkg/pod"
	_ "github.com/tektoncd/pipeline/pkg/reconciler/pipelinerun/resources"
	_ "github.com/tektoncd/pipeline/pkg/reconciler/taskrun/resources"
	_ "github.com/tektoncd/pipeline/pkg/resolution/resolver/bundle"
)

func main() {}
