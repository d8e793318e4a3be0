package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"

	"github.com/tektoncd/pipeline/pkg/apis/config"
	v1 "github.com/tektoncd/pipeline/pkg/apis/pipeline/v1"
	corev1 "k8s.io/api/core/v1"
	"knative.dev/pkg/apis"
)

// report is the result of a TaskRun or a PipelineRun.
type report struct {
	Name      string                    `json:"name"`
	Succeeded bool                      `json:"succeeded"`
	Reason    string                    `json:"reason,omitempty"`
	Message   string                    `json:"message,omitempty"`
	Results   map[string]v1.ResultValue `json:"results,omitempty"`
	Steps     []stepReport              `json:"steps,omitempty"`
	TaskRuns  []report                  `json:"taskRuns,omitempty"`
}

// stepReport is the result of one container.
type stepReport struct {
	Name     string `json:"name"`
	ExitCode int    `json:"exitCode"`
	// What the kubelet found at the termination path.
	Termination string `json:"termination"`
	Log         string `json:"log"`
	User        int    `json:"user"`
}

// pairs collects arguments of the form NAME=VALUE.
type pairs []string

func (p *pairs) String() string { return strings.Join(*p, " ") }

func (p *pairs) Set(word string) error {
	name, value, found := strings.Cut(word, "=")
	if !found {
		return errors.New("write NAME=VALUE")
	}
	*p = append(*p, name, value)
	return nil
}

func run(words []string) error {
	flags := flag.NewFlagSet("run", flag.ExitOnError)
	binary := flags.String("binary", "", "imgstep")
	tools := flags.String("tools", "", "the folder of Tekton's entrypoint and workingdirinit")
	resultsFrom := flags.String("results-from", "", "as the cluster's feature flag; of sidecar-logs, steps alone are run")
	var replace, claims pairs
	flags.Var(&replace, "replace", "a text in all files that stands for another")
	flags.Var(&claims, "claim", "the folder of a PersistentVolumeClaim")
	if err := flags.Parse(words); err != nil {
		return err
	}
	resources, err := loadAll(files(flags.Args()), replace)
	if err != nil {
		return err
	}
	c, err := newCluster(resources)
	if err != nil {
		return err
	}
	kubelet, err := newKubelet(c, *binary, *tools, claims)
	if err != nil {
		return err
	}
	defer kubelet.clean()
	ctx := context.Background()
	if *resultsFrom != "" {
		settings := config.FromContextOrDefaults(ctx)
		settings.FeatureFlags.ResultExtractionMethod = *resultsFrom
		ctx = config.ToContext(ctx, settings)
	}
	reports := []report{}
	for _, resource := range resources {
		switch is := resource.object.(type) {
		case *v1.TaskRun:
			named(is)
			reports = append(reports, reportOf(ctx, c, kubelet, is))
		case *v1.PipelineRun:
			named(is)
			one, err := runPipeline(ctx, c, kubelet, is)
			if one == nil {
				one = &report{}
			}
			one.Name, one.Succeeded = is.Name, err == nil
			if err != nil {
				one.Message = err.Error()
			}
			reports = append(reports, *one)
		}
	}
	if len(reports) == 0 {
		return errors.New("there is no TaskRun and no PipelineRun")
	}
	encoder := json.NewEncoder(os.Stdout)
	encoder.SetIndent("", "  ")
	return encoder.Encode(reports)
}

// named gives a run the name that the cluster would generate.
func named(run interface {
	GetName() string
	SetName(string)
	GetGenerateName() string
}) {
	if run.GetName() == "" {
		run.SetName(run.GetGenerateName() + "x")
	}
}

func reportOf(ctx context.Context, c *cluster, kubelet *kubelet, run *v1.TaskRun) report {
	steps, err := runTask(ctx, c, kubelet, run)
	one := report{Name: run.Name, Steps: steps, Results: map[string]v1.ResultValue{}}
	for _, result := range run.Status.Results {
		one.Results[result.Name] = result.Value
	}
	if condition := run.Status.GetCondition(apis.ConditionSucceeded); condition != nil {
		one.Succeeded, one.Reason, one.Message = condition.Status == corev1.ConditionTrue, condition.Reason, condition.Message
	}
	if err != nil {
		one.Succeeded, one.Message = false, fmt.Sprintf("%v", err)
	}
	return one
}
