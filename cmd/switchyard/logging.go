package main

import (
	"io"
	"log/slog"
	"os"

	"golang.org/x/sys/unix"
)

const serviceName = "switchyard"

// newLogger writes to w what is at least of the level, as JSON or as text. The words are those of the log section of the
// configuration, which has checked them. Where a connection is concerned, trace_id is the session's id.
func newLogger(w io.Writer, level, format, serverID string) *slog.Logger {
	var least slog.Level
	if least.UnmarshalText([]byte(level)) != nil {
		panic("BUG: the configuration let the log level " + level + " pass")
	}
	options := &slog.HandlerOptions{Level: least, ReplaceAttr: spellDuration}
	var h slog.Handler = slog.NewJSONHandler(w, options)
	if format == "text" || format == "auto" && isTerminal(w) {
		h = slog.NewTextHandler(w, options)
	}
	return slog.New(h).With("service_name", serviceName, "version", version, "server_id", serverID)
}

// spellDuration writes 1.5s instead of the nanoseconds that JSON would get.
func spellDuration(_ []string, a slog.Attr) slog.Attr {
	if a.Value.Kind() == slog.KindDuration {
		a.Value = slog.StringValue(a.Value.Duration().String())
	}
	return a
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}
