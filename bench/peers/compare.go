package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/switchyard-im/switchyard/bench/peers/compare"
)

type compareCommand struct {
	Switchyard string        `default:"bin/switchyard" type:"existingfile" help:"The program to measure."`
	Bench      string        `default:"bin/switchyard-bench" type:"existingfile" help:"The load generator."`
	Servers    []string      `default:"switchyard,gorilla,gws,nbio,coder,gobwas" help:"What to measure; nbio-pool and gobwas-merged tell what another use of these is worth."`
	Rounds     int           `default:"3" help:"Rounds; each measures every server under every workload."`
	Conns      int           `default:"10000" help:"Connections under load."`
	Active     int           `default:"1000" help:"Connections that send, spread over all."`
	Sizes      []int         `default:"128,1024" help:"Bytes of a message."`
	Inflight   []int         `default:"1,16" help:"Messages that an active connection sends in one write."`
	Accept     int           `default:"15000" help:"Connections to open in the measurement of opening and memory; 0 leaves it out."`
	Warmup     time.Duration `default:"500ms" help:"Load before each measured window."`
	Duration   time.Duration `default:"3s" help:"Each measured window."`
	Settle     time.Duration `default:"10s" help:"From the last handshake to the reading of memory."`
	JSON       string        `name:"json" type:"path" help:"Write every sample and the summary to this file." placeholder:"FILE"`
}

// Run is called by kong. An interrupted run reports what it has.
func (c *compareCommand) Run(ctx context.Context) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	r, err := compare.Run(ctx, compare.Config{
		Switchyard: c.Switchyard, Bench: c.Bench, Peers: self, Servers: c.Servers, Rounds: c.Rounds, Conns: c.Conns, Active: c.Active,
		Accept: c.Accept, Sizes: c.Sizes, Inflight: c.Inflight, Warmup: c.Warmup, Duration: c.Duration, Settle: c.Settle, Log: os.Stderr,
	})
	if r == nil {
		return err
	}
	err = errors.Join(err, c.report(r, os.Stdout))
	if n := r.Failed(); n > 0 {
		err = errors.Join(err, fmt.Errorf("%d measurements failed, see above", n))
	}
	return err
}

func (c *compareCommand) report(r *compare.Report, out io.Writer) error {
	if err := r.WriteTables(out); err != nil || c.JSON == "" {
		return err
	}
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(c.JSON, append(text, '\n'), 0o644)
}
