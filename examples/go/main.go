// Hello prints what it is and where it runs, and reads the file that it was shipped with.
package main

import (
	"fmt"
	"os"
	"runtime"
)

func main() {
	if err := hello(); err != nil {
		fmt.Fprintln(os.Stderr, "hello:", err)
		os.Exit(1)
	}
}

func hello() error {
	folder, err := os.Getwd()
	if err != nil {
		return err
	}
	greeting, err := os.ReadFile("greeting.txt")
	if err != nil {
		return err
	}
	fmt.Printf("program: Go on %s/%s\n", runtime.GOOS, runtime.GOARCH)
	fmt.Println("user:", os.Getuid())
	fmt.Println("folder:", folder)
	fmt.Print("file: ", string(greeting))
	return nil
}
