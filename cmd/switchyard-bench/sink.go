package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/switchyard-im/switchyard/bench/report"
	"github.com/switchyard-im/switchyard/sink/sinkbench"
)

type sinkCommand struct {
	ClickHouse   string        `name:"clickhouse" required:"" help:"ClickHouse, HOST:PORT of the native protocol; a database of a new name is made in it, and dropped." placeholder:"HOST:PORT"`
	User         string        `default:"default" help:"User of ClickHouse."`
	PasswordFile string        `type:"path" help:"File with the user's password." placeholder:"FILE"`
	Dir          string        `type:"path" help:"Folder on the disk to measure; the system's folder for temporary files by default." placeholder:"DIR"`
	Batches      []int         `default:"1,1000,10000,50000" help:"Rows an insert."`
	Rows         int           `default:"200000" help:"Rows of a measurement, rounded up to whole inserts, and to 10 of them at least."`
	SingleRows   int           `default:"300" help:"Rows of a measurement with one row an insert."`
	Size         int           `default:"128" help:"Bytes of a message's text."`
	Rounds       int           `default:"3" help:"Rounds; the figures are their medians."`
	Writers      int           `default:"128" help:"Messages under way to the journal at a time."`
	Duration     time.Duration `default:"2s" help:"How long the journal is written to in a round."`
	outputFlags
}

// Run is called by kong.
func (c *sinkCommand) Run(ctx context.Context, t *terminal) error {
	password, err := c.password()
	if err != nil {
		return err
	}
	return measure(ctx, t, &c.outputFlags, watched{}, func(rec *recording) (sinkOutcome, error) {
		rep, err := sinkbench.Run(ctx, sinkbench.Config{
			ClickHouse: c.ClickHouse, User: c.User, Password: password, Dir: c.Dir, Batches: c.Batches, Rows: c.Rows, SingleRows: c.SingleRows,
			BodyBytes: c.Size, Rounds: c.Rounds, Writers: c.Writers, Duration: c.Duration, Progress: rec.text,
		})
		if wrong := new(sinkbench.WrongRows); errors.As(err, &wrong) {
			err = errors.Join(errViolation, err)
		}
		return sinkOutcome{rep}, err
	})
}

func (c *sinkCommand) password() (string, error) {
	if c.PasswordFile == "" {
		return "", nil
	}
	text, err := os.ReadFile(c.PasswordFile)
	return strings.TrimSpace(string(text)), err
}

// sinkOutcome shows a report as a table.
type sinkOutcome struct{ *sinkbench.Report }

// Rows is outcome's.
func (rep sinkOutcome) Rows() []report.Row {
	j := rep.Journal
	rows := []report.Row{
		{Name: "journal, group commit", Value: sinkAccepted(j.Batched)},
		{Name: "journal, single writes", Value: sinkAccepted(j.Single)},
		{Name: "  group commit / single", Value: fmt.Sprintf("%v of the messages/s, %v of the mean latency", j.Ratio, j.Latency)},
	}
	for _, i := range rep.Inserts {
		name := fmt.Sprintf("%d rows an insert", i.BatchRows)
		value := fmt.Sprintf("journal %s; bare %s; ratio %v", sinkSpeed(i.Journal), sinkSpeed(i.Bare), i.Ratio)
		if over := rep.OverSingle(i.BatchRows); i.BatchRows > 1 && over > 0 {
			value += fmt.Sprintf("; %.0f times a bare insert for each row", over)
		}
		rows = append(rows, report.Row{Name: name, Value: value})
	}
	return rows
}

func sinkAccepted(a sinkbench.Accepted) string {
	return fmt.Sprintf("%.0f/s, mean %.2f ms, CPU %.1f us", a.PerSecond, a.MeanMS, a.CPUMicros)
}

func sinkSpeed(s sinkbench.Speed) string {
	return fmt.Sprintf("%.0f rows/s, CPU %.2f us", s.RowsPerSecond, s.CPUMicros)
}
