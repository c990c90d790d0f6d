// Command switchyard is the realtime connection server.
//
// It parses the command line, reads the configuration, wires the parts and handles signals; what the parts do is in frame,
// netserver, dispatch and sink. "switchyard --help" lists the commands.
package main

import "os"

func main() {
	os.Exit(run(os.Args[1:], environment{
		args: os.Args, env: os.Environ(), stdout: os.Stdout, stderr: os.Stderr,
	}))
}
