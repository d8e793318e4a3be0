package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"slices"

	v1 "github.com/tektoncd/pipeline/pkg/apis/pipeline/v1"
)

// start is the command line and environment of a step's program.
type start struct {
	Words       []string `json:"words,omitempty"`
	Environment []string `json:"environment,omitempty"`
	// The reason why there is no such Pod.
	Refused string `json:"refused,omitempty"`
}

// printWords has the controller create the Pod of each TaskRun on stdin, and prints what the kubelet would start its
// first step with, without the entrypoint around it.
func printWords(files []string) error {
	resources, err := loadAll(files, nil)
	if err != nil {
		return err
	}
	c, err := newCluster(resources)
	if err != nil {
		return err
	}
	out := bufio.NewWriter(os.Stdout)
	defer out.Flush()
	encoder, decoder := json.NewEncoder(out), json.NewDecoder(bufio.NewReader(os.Stdin))
	for {
		run := &v1.TaskRun{}
		if err := decoder.Decode(run); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		if err := encoder.Encode(startOf(c, run)); err != nil {
			return err
		}
	}
}

func startOf(c *cluster, run *v1.TaskRun) start {
	run.Namespace = namespace
	made, _, _, err := podOf(context.Background(), c, run)
	if err != nil {
		return start{Refused: err.Error()}
	}
	environment, words, err := started(made.Spec.Containers[0])
	if err != nil {
		return start{Refused: err.Error()}
	}
	// ENTRYPOINT ITS-OPTIONS -entrypoint PROGRAM -- ARGUMENTS: its options end before any argument of ours.
	end := slices.Index(words, "--")
	return start{Words: append([]string{words[end-1]}, words[end+1:]...), Environment: environment}
}
