package main

import (
	"fmt"
	"runtime"
)

// version is set by the linker (see the Makefile); "dev" is a build without it.
var version = "dev"

type versionCmd struct{}

// Run prints one line: name, version, Go version, platform.
func (versionCmd) Run(env *environment) error {
	_, err := fmt.Fprintf(env.stdout, "switchyard %s %s %s/%s\n", version, runtime.Version(), runtime.GOOS, runtime.GOARCH)
	return err
}
