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

// finish writes the table, and the report to a file if one is named; the error is errViolation if the oracle found something.
func (t *terminal) finish(rep any, rows []report.Row, ok bool, file string) error {
	err := report.Table(t.out, rows)
	if file != "" {
		err = errors.Join(err, report.WriteJSON(file, rep))
	}
	if err == nil && !ok {
		return errViolation
	}
	return err
}
