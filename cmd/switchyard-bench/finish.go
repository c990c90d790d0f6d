package main

import (
	"errors"

	"github.com/switchyard-im/switchyard/bench/report"
)

// serverAddress says which server a scenario drives.
type serverAddress struct {
	URL string `required:"" help:"The server, ws://HOST:PORT/v1/ws."`
	Key string `required:"" type:"path" help:"The key file that the server checks tokens with (serve --dev: DIR/token.key)." placeholder:"FILE"`
}

// outcome is a scenario's report. One with promises to judge has a method OK too.
type outcome interface{ Rows() []report.Row }

// finish ends a command with the outcome of its scenario, or the error of one that could not take place: it writes the table, and the report to a
// file if one is named. The error is errViolation if a promise was broken.
func (t *terminal) finish(rep outcome, failed error, file string) error {
	t.progress.done()
	if failed != nil {
		return failed
	}
	err := report.Table(t.out, rep.Rows())
	if file != "" {
		err = errors.Join(err, report.WriteJSON(file, rep))
	}
	if judged, ok := rep.(interface{ OK() bool }); ok && err == nil && !judged.OK() {
		return errViolation
	}
	return err
}
