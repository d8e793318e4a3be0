// Readbundle reads one resource of a Tekton bundle with Tekton's own bundle resolver, and prints its bytes: what the
// controller gives a TaskRun whose taskRef names the bundle.
//
//	readbundle BUNDLE KIND NAME
//
// On stderr are the annotations that come with it and the source that the resolver records, one per line.
package main

import (
	"context"
	"fmt"
	"maps"
	"os"
	"slices"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/tektoncd/pipeline/pkg/resolution/resolver/bundle"
)

func main() {
	if len(os.Args) != 4 {
		fmt.Fprintln(os.Stderr, "usage: readbundle BUNDLE KIND NAME")
		os.Exit(2)
	}
	options := bundle.RequestOptions{Bundle: os.Args[1], Kind: os.Args[2], EntryName: os.Args[3]}
	found, err := bundle.GetEntry(context.Background(), authn.DefaultKeychain, options)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	annotations := found.Annotations()
	for _, name := range slices.Sorted(maps.Keys(annotations)) {
		fmt.Fprintf(os.Stderr, "%s=%s\n", name, annotations[name])
	}
	source := found.RefSource()
	fmt.Fprintf(os.Stderr, "source=%s@sha256:%s %s\n", source.URI, source.Digest["sha256"], source.EntryPoint)
	os.Stdout.Write(found.Data())
}
