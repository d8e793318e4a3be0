// Tektoncheck validates and runs this repository's Tasks, StepActions and Pipelines with Tekton's own code.
//
//	tektoncheck validate FILE...     admission's checks, and those of catalogs
//	tektoncheck options BINARY FILE...  compares each step's arguments with the binary's options
//	tektoncheck run -binary BINARY -tools DIR [-replace OLD=NEW]... [-claim NAME=DIR]... FILE...
//	                                 runs each TaskRun and PipelineRun, and prints the results as JSON
//	tektoncheck words FILE...        reads TaskRuns from stdin, one per line, and prints for each a line of JSON with
//	                                 the command line of its step
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
		// Only returns if it failed.
		fail("contain: %v", enter(words))
	default:
		fail("no subcommand %q", os.Args[1])
	}
}

// finish prints the problems, and how much was checked.
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

// files lists the YAML files at the given paths: files, or folders with everything below them.
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
