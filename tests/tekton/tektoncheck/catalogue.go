package main

import (
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	v1 "github.com/tektoncd/pipeline/pkg/apis/pipeline/v1"
	"sigs.k8s.io/yaml"
)

// The categories that catalogs know (tektoncd/hub, config.yaml).
var categories = []string{"Automation", "Build Tools", "CLI", "Cloud", "Code Quality", "Continuous Integration",
	"Deployment", "Developer Tools", "Git", "Image Build", "Integration & Delivery", "Kubernetes", "Messaging", "Monitoring",
	"Networking", "Openshift", "Publishing", "Security", "Storage", "Testing"}

var (
	platform = regexp.MustCompile(`^[a-z0-9]+/[a-z0-9]+$`)
	pinned   = regexp.MustCompile(`^[a-z0-9.-]+\.[a-z]+/[^:@]+:v\d+\.\d+\.\d+@sha256:[0-9a-f]{64}$`)
	version  = regexp.MustCompile(`^\d+\.\d+\.\d+$`)
)

// catalogued reports what Artifact Hub and catlin would find wrong with a Task or StepAction, and violations of this
// repository's own rules: no script, no shell, the restricted profile of Pod Security.
func catalogued(resource resource, description string, params v1.ParamSpecs, steps []v1.Step) []string {
	var wrong []string
	check := func(holds bool, format string, values ...any) {
		if !holds {
			wrong = append(wrong, resource.String()+": "+fmt.Sprintf(format, values...))
		}
	}
	name, kind := resource.object.GetName(), strings.ToLower(resource.kind)
	suffix := filepath.Join(kind, name, name+".yaml")
	check(strings.HasSuffix(resource.file, suffix), "it must be in %s", suffix)

	labels, annotations := resource.object.GetLabels(), resource.object.GetAnnotations()
	check(version.MatchString(labels["app.kubernetes.io/version"]), "the label app.kubernetes.io/version is no version")
	for _, key := range []string{"tekton.dev/pipelines.minVersion", "tekton.dev/categories", "tekton.dev/tags",
		"tekton.dev/displayName", "tekton.dev/platforms", "artifacthub.io/category", "artifacthub.io/license",
		"artifacthub.io/provider"} {
		check(annotations[key] != "", "the annotation %s is missing", key)
	}
	for _, category := range strings.Split(annotations["tekton.dev/categories"], ",") {
		check(slices.Contains(categories, strings.TrimSpace(category)), "there is no category %q", category)
	}
	for _, is := range strings.Split(annotations["tekton.dev/platforms"], ",") {
		check(platform.MatchString(is), "%q is no platform", is)
	}
	for key, field := range map[string]string{"links": "url", "maintainers": "email", "changes": "description"} {
		var entries []map[string]any
		err := yaml.Unmarshal([]byte(annotations["artifacthub.io/"+key]), &entries)
		check(err == nil && len(entries) > 0, "the annotation artifacthub.io/%s is no list: %v", key, err)
		for _, entry := range entries {
			check(entry[field] != nil, "the annotation artifacthub.io/%s lacks %s", key, field)
		}
	}
	check(description != "", "it has no description")
	for _, param := range params {
		check(param.Description != "" && param.Type != "", "the param %s lacks a description or a type", param.Name)
	}
	for _, step := range steps {
		check(pinned.MatchString(step.Image), "the image %s is not pinned by tag and digest", step.Image)
		check(step.Script == "" && slices.Equal(step.Command, []string{"/imgstep"}), "it must run /imgstep, and no script")
		for _, variable := range step.Env {
			check(variable.ValueFrom == nil, "the variable %s is a secret", variable.Name)
		}
		context := step.SecurityContext
		if context == nil || context.Capabilities == nil || context.SeccompProfile == nil {
			check(false, "the security context lacks something")
			continue
		}
		is := func(flag *bool, wanted bool) bool { return flag != nil && *flag == wanted }
		check(is(context.AllowPrivilegeEscalation, false) && is(context.ReadOnlyRootFilesystem, true) &&
			is(context.RunAsNonRoot, true) && context.RunAsUser == nil && len(context.Capabilities.Drop) == 1 &&
			context.Capabilities.Drop[0] == "ALL" && context.SeccompProfile.Type == "RuntimeDefault",
			"the security context is not the restricted one")
	}
	return wrong
}
