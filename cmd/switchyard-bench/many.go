package main

import (
	"context"
	"errors"
	"io"
	"os"
	"runtime"

	"github.com/switchyard-im/switchyard/bench/idle"
	"github.com/switchyard-im/switchyard/bench/million"
)

// manyFlags make idle open more connections than one process may have: from several processes, to servers that it starts.
type manyFlags struct {
	Serve     string `help:"The command that starts one server, by the shell, for more connections than one process may have: several processes connect, all of the servers share the port of --url (env GOMAXPROCS=1 switchyard echo --reuse-port --ping-after 2m). Connections are upgraded and no more." placeholder:"COMMAND"`
	Servers   int    `default:"0" help:"With --serve: servers. 0: one for each 16,500 connections."`
	MinFreeMB int64  `name:"min-free-mb" default:"3072" help:"With --serve: while the machine has less memory left than this, in MiB, nothing is opened; after 30 s the run goes on with what is open."`
	ServerLog string `name:"server-log" type:"path" help:"With --serve: append the output of the servers to this file." placeholder:"FILE"`
}

// many is idle with servers and processes of its own.
func (c *idleCommand) many(ctx context.Context, t *terminal) error {
	if c.State == idle.Attached || c.Key != "" || c.Burst != 0 || !c.Ramp.Never() || c.ServerPID != 0 || c.Admin != "" {
		return errors.New("idle: with --serve connections are bare WebSockets to servers of its own: leave --state, --key, --burst, --ramp, --server-pid and --admin out")
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	log, err := appendTo(c.ServerLog)
	if err != nil {
		return err
	}
	defer log.Close()
	return measure(ctx, t, &c.outputFlags, watched{}, func(rec *recording) (*million.Report, error) {
		return million.Run(ctx, million.Config{
			URL: c.URL, Conns: c.Conns, Processes: c.Processes, Servers: c.Servers, Command: c.Serve, Worker: "'" + self + "' idle-worker",
			MinFree: c.MinFreeMB << 20, Settle: c.Settle, Hold: c.Hold, ServerLog: log, Watch: rec.sample,
		})
	})
}

// appendTo opens a file for a server's output, or nothing if none is named.
func appendTo(file string) (io.WriteCloser, error) {
	if file == "" {
		file = os.DevNull
	}
	return os.OpenFile(file, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
}

// workerCommand is one process of many.
type workerCommand struct {
	URL       string `required:""`
	First     int    `required:""`
	Conns     int    `required:""`
	PerSource int    `required:""`
}

// Run is called by kong.
func (c *workerCommand) Run(ctx context.Context, t *terminal) error {
	runtime.GOMAXPROCS(1) // it has one loop; with more, Go's monitor keeps waking to look after processors that wait in a system call
	return million.Work(ctx, million.WorkerConfig{URL: c.URL, First: c.First, Conns: c.Conns, PerSource: c.PerSource}, os.Stdin, t.out)
}
