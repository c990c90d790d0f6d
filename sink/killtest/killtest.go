// Package killtest runs a test of the calling binary in a process of its own and ends it with SIGKILL, at a moment that falls anywhere in its work.
package killtest

import (
	"bufio"
	"context"
	"os"
	"os/exec"
	"testing"
	"time"
)

// Child is a process that prints lines until it is killed. What it has printed is in the pipe, out of the reach of the kill.
type Child struct {
	Test  string        // the test that is the child, which does nothing by itself: without Env
	Env   string        // the environment variable that makes it the child, NAME=VALUE
	After int           // kill it so many lines after the first one
	Pause time.Duration // and so long after that line
}

// limit ends a child that does not print enough.
const limit = time.Minute

// Run runs the child until it is killed, and calls line with each line that it printed, from the calling goroutine. One that prints nothing fails the test.
func (c Child) Run(t testing.TB, line func(string)) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, os.Args[0], "-test.run=^"+c.Test+"$")
	cmd.Env = append(os.Environ(), c.Env)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := 0
	scanner := bufio.NewScanner(out)
	for scanner.Buffer(nil, 1<<20); scanner.Scan(); lines++ {
		if line(scanner.Text()); lines == c.After {
			kill := time.AfterFunc(c.Pause, func() { _ = cmd.Process.Kill() })
			defer kill.Stop()
		}
	}
	_ = cmd.Wait() // it was killed, and says so
	if lines == 0 {
		t.Errorf("killtest: %s printed nothing", c.Test)
	}
}
