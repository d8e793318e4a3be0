// Tektoncheck lets Tekton's own code judge and run the Tasks, StepActions and Pipelines of this repository.
//
//	tektoncheck validate FILE...     admission's checks, and those of catalogues
//	tektoncheck options BINARY FILE...  the arguments of each step beside the binary's own options
//	tektoncheck run -binary BINARY -tools DIR [-replace OLD=NEW]... [-claim NAME=DIR]... FILE...
//	                                 runs each TaskRun and PipelineRun, and prints what became of them as JSON
//	tektoncheck words FILE...        reads TaskRuns from stdin, one a line, and prints as JSON, a line for each, what its
//	                                 step would be started with
package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

func main() {
	if len(os.Args) < 2 {
		fail("no subcommand: validate, options, run or words")
	}
	words := os.Args[2:]
	switch os.Args[1] {
	case "validate":
		finish(validateFiles(files(words)))
	case "options":
		if len(words) < 2 {
			fail("options BINARY FILE...")
		}
		finish(compareOptions(words[0], files(words[1:])))
	case "run":
		if err := run(words); err != nil {
			fail("%v", err)
		}
	case "words":
		if err := printWords(files(words)); err != nil {
			fail("%v", err)
		}
	case contain:
		// Only ever returns to say what went wrong.
		fail("contain: %v", enter(words))
	default:
		fail("no subcommand %q", os.Args[1])
	}
}

// finish prints what was found wrong, and how much was looked at.
func finish(seen int, wrong []string) {
	for _, line := range wrong {
		fmt.Fprintln(os.Stderr, line)
	}
	fmt.Printf("%d resources, %d findings\n", seen, len(wrong))
	if len(wrong) > 0 || seen == 0 {
		os.Exit(1)
	}
}

func fail(format string, values ...any) {
	fmt.Fprintf(os.Stderr, "tektoncheck: "+format+"\n", values...)
	os.Exit(1)
}

// files lists the YAML files that paths name: files, or folders with everything below them.
func files(paths []string) []string {
	var found []string
	for _, path := range paths {
		err := filepath.Walk(path, func(path string, info os.FileInfo, err error) error {
			if err == nil && !info.IsDir() && strings.HasSuffix(path, ".yaml") {
				found = append(found, path)
			}
			return err
		})
		if err != nil {
			fail("%v", err)
		}
	}
	return found
}
