package sink

import (
	"fmt"
	"log/slog"
	"runtime"
	"strings"
)

// pebbleLogger passes on what Pebble says. Safe for concurrent use.
type pebbleLogger struct {
	log   *slog.Logger
	fence *fence
}

func (l pebbleLogger) Infof(format string, args ...any) {
	l.log.Debug("pebble: " + oneLine(format, args))
}

func (l pebbleLogger) Errorf(format string, args ...any) {
	l.log.Warn("pebble: " + oneLine(format, args))
}

// Fatalf is called where Pebble cannot go on, and must not return. The fence falls, which makes the supervisor replace this
// instance, and the goroutine ends: locks that it holds by defer are released, so that closing the instance has a chance. This is
// also right on a goroutine of ours (an open, a commit): they notice in a deferred function.
func (l pebbleLogger) Fatalf(format string, args ...any) {
	l.fence.fall(fmt.Errorf("pebble cannot go on: %s", oneLine(format, args)))
	runtime.Goexit()
}

func oneLine(format string, args []any) string {
	return strings.ReplaceAll(strings.TrimSpace(fmt.Sprintf(format, args...)), "\n", "; ")
}
