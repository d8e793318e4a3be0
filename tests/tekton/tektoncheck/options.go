package main

import (
	"fmt"
	"os/exec"
	"regexp"
	"slices"
	"strings"

	v1 "github.com/tektoncd/pipeline/pkg/apis/pipeline/v1"
	"github.com/tektoncd/pipeline/pkg/apis/pipeline/v1beta1"
)

// Options that no Task has as params, each for a reason. They are listed here, apart from the Tasks' source, so that
// none is lost by accident.
var noParam = map[string]string{
	"help":             "is for people",
	"auth-dir":         "is the workspace credentials",
	"source-auth-dir":  "is the workspace source-credentials",
	"ca-dir":           "is the workspace ca-bundle",
	"ca-file":          "is the workspace ca-bundle",
	"result":           "is the Task's results",
	"output":           "stdout is the log",
	"ci":               "is for other CI systems",
	"github-artifacts": "is for GitHub",
}

// Options of one step that its Task doesn't have.
var noParamOf = map[string][]string{
	"promote": {"destination"},
	"append":  {"annotate-from-ci"},
}

// Options whose param has another name.
var paramOf = map[string]string{"line": "list"}

var (
	helpOption = regexp.MustCompile(`(?m)^\s+(?:-\w, )?--([a-z][a-z-]*)`)
	helpWord   = regexp.MustCompile(`(?m)^  [<\[]([A-Z]+)[>\]]`)
	argOption  = regexp.MustCompile(`^--([a-z-]+)(?:=.*)?$`)
	param      = regexp.MustCompile(`\$\(params\.([a-z-]+)(?:\[\*\])?\)`)
)

// compareOptions checks that every option a step is called with exists in the binary, that every option of the binary
// is a param of that name, and that every param is used.
func compareOptions(binary string, files []string) (int, []string) {
	resources, err := loadAll(files, nil)
	if err != nil {
		return 0, []string{err.Error()}
	}
	var wrong []string
	seen := 0
	for _, resource := range resources {
		var specs v1.ParamSpecs
		var args []string
		env := map[string]string{}
		switch is := resource.object.(type) {
		case *v1.Task:
			specs, args = is.Spec.Params, is.Spec.Steps[0].Args
			for _, variable := range is.Spec.Steps[0].Env {
				env[variable.Name] = variable.Value
			}
		case *v1beta1.StepAction:
			specs, args = is.Spec.Params, is.Spec.Args
			for _, variable := range is.Spec.Env {
				env[variable.Name] = variable.Value
			}
		default:
			continue
		}
		seen++
		for _, line := range compare(binary, specs, args, env) {
			wrong = append(wrong, resource.String()+": "+line)
		}
	}
	return seen, wrong
}

func compare(binary string, specs v1.ParamSpecs, args []string, env map[string]string) []string {
	step := args[0]
	output, err := exec.Command(binary, step, "--help").Output()
	if err != nil {
		return []string{fmt.Sprintf("%s %s --help: %v", binary, step, err)}
	}
	options := map[string]bool{}
	for _, match := range helpOption.FindAllStringSubmatch(string(output), -1) {
		options[match[1]] = true
	}
	words := map[string]bool{}
	for _, match := range helpWord.FindAllStringSubmatch(string(output), -1) {
		// The positional arguments are named like their variables: IMAGE... is IMGSTEP_IMAGES.
		words[strings.ToLower(match[1])] = true
	}
	wrong := strictness(args)
	used := map[string]bool{}
	last := ""
	for _, arg := range args[1:] {
		if strings.HasPrefix(arg, "--strict=") {
			continue
		}
		if match := argOption.FindStringSubmatch(arg); match != nil {
			last = match[1]
			if !options[last] {
				wrong = append(wrong, fmt.Sprintf("%s has no option --%s", step, last))
			}
		}
		if arg == "--" {
			last = "--"
		}
		for _, match := range param.FindAllStringSubmatch(arg, -1) {
			name := match[1]
			used[name] = true
			isPath := strings.HasSuffix(name, "-path")
			switch {
			case last == "--" && !words[name] && !words[strings.TrimSuffix(name, "s")]:
				wrong = append(wrong, fmt.Sprintf("%s has no word %s", step, name))
			case last != "--" && last != name && paramOf[last] != name && !isPath:
				wrong = append(wrong, fmt.Sprintf("the param %s is given to --%s", name, last))
			}
		}
	}
	for variable, value := range env {
		for _, match := range param.FindAllStringSubmatch(value, -1) {
			used[match[1]] = true
			if variable != "IMGSTEP_"+strings.ToUpper(strings.ReplaceAll(match[1], "-", "_")) || !options[match[1]] {
				wrong = append(wrong, fmt.Sprintf("the param %s is given to %s", match[1], variable))
			}
		}
	}
	params := map[string]bool{}
	for _, spec := range specs {
		params[spec.Name] = true
		// The working directory is a path that no option takes.
		if !used[spec.Name] && !slices.Contains([]string{"source-path", "layouts-path"}, spec.Name) {
			wrong = append(wrong, fmt.Sprintf("the param %s is not used", spec.Name))
		}
	}
	for option := range options {
		if !params[option] && !params[paramOf[option]] && noParam[option] == "" && !slices.Contains(noParamOf[step], option) {
			wrong = append(wrong, fmt.Sprintf("the option --%s is no param, and no exception", option))
		}
	}
	for word := range words {
		if !params[word] && !params[word+"s"] && !slices.Contains(noParamOf[step], word) {
			wrong = append(wrong, fmt.Sprintf("the word %s is no param, and no exception", word))
		}
	}
	return wrong
}

// strictness checks that the first argument after the step lists the options that follow: it keeps the elements of an
// array from becoming options.
func strictness(args []string) []string {
	var names []string
	for _, arg := range args[2:] {
		if match := argOption.FindStringSubmatch(arg); match != nil {
			names = append(names, match[1])
		}
	}
	if expected := "--strict=" + strings.Join(names, ","); args[1] != expected {
		return []string{fmt.Sprintf("the first word behind the step is %s, and not %s", args[1], expected)}
	}
	return nil
}
