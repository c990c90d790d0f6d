package main

import (
	"errors"
	"fmt"
	"io"

	"github.com/switchyard-im/switchyard/bench/page"
	"github.com/switchyard-im/switchyard/bench/record"
)

type compareCommand struct {
	Runs []string `arg:"" type:"path" help:"Files of --json, two or more." placeholder:"FILE"`
	HTML string   `name:"html" type:"path" help:"Write the comparison to this file as a page with charts, which needs nothing else." placeholder:"FILE"`
}

// Run is called by kong.
func (c *compareCommand) Run(t *terminal) error {
	if len(c.Runs) < 2 {
		return fmt.Errorf("%w: compare: give two files of --json or more", errUsage)
	}
	runs, err := record.Load(c.Runs)
	if err != nil {
		return err
	}
	if c.HTML != "" {
		err = writeFile(c.HTML, func(w io.Writer) error { return page.Compare(w, runs) })
	}
	return errors.Join(err, record.WriteTable(t.out, runs))
}
