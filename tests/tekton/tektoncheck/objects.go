package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	v1 "github.com/tektoncd/pipeline/pkg/apis/pipeline/v1"
	"github.com/tektoncd/pipeline/pkg/apis/pipeline/v1beta1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	yamlreader "k8s.io/apimachinery/pkg/util/yaml"
	"knative.dev/pkg/apis"
	"sigs.k8s.io/yaml"
)

// namespace is the namespace of all objects.
const namespace = "default"

// resource is one document of a file.
type resource struct {
	file   string
	kind   string
	object metav1.Object
}

// tektonObject is what admission defaults and validates.
type tektonObject interface {
	SetDefaults(context.Context)
	Validate(context.Context) *apis.FieldError
}

func (r resource) String() string {
	name := r.object.GetName()
	if name == "" {
		name = r.object.GetGenerateName()
	}
	return fmt.Sprintf("%s: %s %s", r.file, r.kind, name)
}

// empty creates the type that a document is decoded into.
func empty(apiVersion, kind string) metav1.Object {
	switch apiVersion + " " + kind {
	case "tekton.dev/v1 Task":
		return &v1.Task{}
	case "tekton.dev/v1 Pipeline":
		return &v1.Pipeline{}
	case "tekton.dev/v1 TaskRun":
		return &v1.TaskRun{}
	case "tekton.dev/v1 PipelineRun":
		return &v1.PipelineRun{}
	case "tekton.dev/v1beta1 StepAction":
		return &v1beta1.StepAction{}
	case "v1 ConfigMap":
		return &corev1.ConfigMap{}
	case "v1 Secret":
		return &corev1.Secret{}
	case "v1 ServiceAccount":
		return &corev1.ServiceAccount{}
	case "v1 Service":
		return &corev1.Service{}
	case "v1 Pod":
		return &corev1.Pod{}
	}
	return nil
}

// load reads the documents of a file, after replacing texts in them. Unknown fields are errors.
func load(file string, replace []string) ([]resource, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	text = []byte(strings.NewReplacer(replace...).Replace(string(text)))
	reader := yamlreader.NewYAMLReader(bufio.NewReader(bytes.NewReader(text)))
	var resources []resource
	for {
		document, err := reader.Read()
		if errors.Is(err, io.EOF) {
			return resources, nil
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		var kind metav1.TypeMeta
		if err := yaml.Unmarshal(document, &kind); err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		if kind.Kind == "" {
			continue // comments alone
		}
		object := empty(kind.APIVersion, kind.Kind)
		if object == nil {
			return nil, fmt.Errorf("%s: nobody knows a %s of %s", file, kind.Kind, kind.APIVersion)
		}
		if err := yaml.UnmarshalStrict(document, object); err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		object.SetNamespace(namespace)
		resources = append(resources, resource{file, kind.Kind, object})
	}
}

// loadAll reads several files.
func loadAll(files, replace []string) ([]resource, error) {
	var all []resource
	for _, file := range files {
		resources, err := load(file, replace)
		if err != nil {
			return nil, err
		}
		all = append(all, resources...)
	}
	return all, nil
}
