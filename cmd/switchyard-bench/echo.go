package main

import (
	"context"
	"time"

	"github.com/switchyard-im/switchyard/bench/echo"
	"github.com/switchyard-im/switchyard/bench/observe"
)

// serverFlags say where the server's own figures come from.
type serverFlags struct {
	ServerPID int    `name:"server-pid" help:"Process id of the server on this machine, for its CPU and memory." placeholder:"PID"`
	Admin     string `help:"URL of the server's admin address, for its CPU and memory (http://HOST:PORT)." placeholder:"URL"`
}

func (f *serverFlags) source() observe.Source { return observe.New(f.ServerPID, f.Admin) }

type echoCommand struct {
	URL      string        `required:"" help:"The echo server, ws://HOST:PORT/PATH."`
	Conns    int           `default:"100" help:"Connections."`
	Active   int           `help:"Connections that send; 0 is all."`
	Inflight int           `default:"1" help:"Messages in flight on each active connection."`
	Burst    bool          `help:"Send the messages in flight in one write, when all before are answered, and not each as soon as there is room."`
	Size     int           `default:"128" help:"Bytes of a message."`
	Warmup   time.Duration `default:"1s" help:"Time before the measured window."`
	Duration time.Duration `default:"10s" help:"The measured window."`
	Threads  int           `default:"1" help:"Event loops of the generator."`
	JSON     string        `name:"json" type:"path" help:"Write the report to this file." placeholder:"FILE"`
	serverFlags
}

// Run is called by kong.
func (c *echoCommand) Run(ctx context.Context, t *terminal) error {
	last := int64(0)
	rep, err := echo.Run(ctx, echo.Config{
		URL: c.URL, Conns: c.Conns, Active: c.Active, Inflight: c.Inflight, Burst: c.Burst, Size: c.Size, Warmup: c.Warmup,
		Duration: c.Duration, Threads: c.Threads, Server: c.source(),
		Progress: func(p echo.Progress) {
			t.progress.line("%3.0fs  %d messages/s", p.Elapsed.Seconds(), p.Messages-last)
			last = p.Messages
		},
	})
	return t.finish(rep, err, c.JSON)
}
