package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/switchyard-im/switchyard/bench/chaos"
	"github.com/switchyard-im/switchyard/bench/observe"
)

// chaosFlags make trouble beside a scenario.
type chaosFlags struct {
	Serve          string        `help:"The command that starts the server, by the shell; it is ended after the run. Needed for --kill9, --drain and --pause." placeholder:"COMMAND"`
	ServerLog      string        `name:"server-log" type:"path" help:"Append the output of what is started to this file." placeholder:"FILE"`
	Kill9          chaos.Trouble `name:"kill9" help:"Kill the server with SIGKILL and start it again: every=5s, and perhaps jitter=2s." placeholder:"WHEN"`
	Drain          chaos.Trouble `help:"End the server with SIGTERM and start it again: every=30s." placeholder:"WHEN"`
	Pause          chaos.Trouble `help:"Stop the server with SIGSTOP for a while: every=20s,for=2s." placeholder:"WHEN"`
	Cut            chaos.Trouble `help:"Reset a share of the connections: every=3s,share=10%." placeholder:"WHEN"`
	ClickHouseStop chaos.Trouble `name:"clickhouse-stop" help:"Take ClickHouse away for a while: every=20s,for=5s,mode=pause, kill or any." placeholder:"WHEN"`
	ClickHouse     string        `name:"clickhouse" help:"The command that starts the ClickHouse of the server, by the shell; it is ended after the run." placeholder:"COMMAND"`
	ClickHousePID  int           `name:"clickhouse-pid" help:"Or the process that it is, which can be paused only." placeholder:"PID"`
	Seed           uint64        `help:"Repeats the moments of a run: the seed that it printed. 0: another one."`
}

func (f *chaosFlags) troubles() *chaosFlags { return f }

// trouble is what chaosFlags ask for. Its Run is nil if that is nothing.
type trouble struct {
	*chaos.Run
	shared bool       // with other loads: whoever made it tells of it, and ends it
	rec    *recording // is told of it; set before a scenario joins
	log    io.Closer
}

// trouble is that of the flags, or that of the run of which the command is a part.
func (t *terminal) trouble(ctx context.Context, f *chaosFlags, url string) (*trouble, error) {
	if t.part != nil {
		return &trouble{Run: t.part.chaos, shared: true}, nil
	}
	return f.trouble(ctx, url)
}

func (f *chaosFlags) plan() chaos.Plan {
	return chaos.Plan{Kill: f.Kill9, Drain: f.Drain, Pause: f.Pause, Cut: f.Cut, ClickHouse: f.ClickHouseStop}
}

// trouble starts the servers that the flags name, for a scenario against this URL. The caller ends them.
func (f *chaosFlags) trouble(ctx context.Context, url string) (*trouble, error) {
	t := &trouble{}
	cfg := chaos.Config{
		Plan: f.plan(),
		Seed: f.Seed, URL: url, Serve: f.Serve, ClickHouse: f.ClickHouse, ClickHousePID: f.ClickHousePID,
		Event: func(name string) { t.rec.event(name) }, Progress: func(line string) { t.rec.line(line) },
	}
	if cfg.Plan.Empty() && f.Serve == "" && f.ClickHouse == "" {
		return t, nil
	}
	log, err := appendTo(f.ServerLog)
	if err != nil {
		return nil, err
	}
	cfg.ServerLog, t.log = log, log
	if t.Run, err = chaos.New(cfg); err != nil {
		return nil, errors.Join(fmt.Errorf("%w: %w", errUsage, err), log.Close())
	}
	if err := t.Start(ctx); err != nil {
		return nil, errors.Join(err, t.end())
	}
	return t, nil
}

// end ends what was started.
func (t *trouble) end() error {
	if t.log == nil {
		return nil
	}
	return errors.Join(t.Close(), t.log.Close())
}

// source is what the server uses, over its restarts if it is started by the run.
func (t *trouble) source(other observe.Source) observe.Source {
	if own := t.Source(); own != nil && !t.shared {
		return own
	}
	return other
}

// report is what trouble there was, for the report of a scenario.
func (t *trouble) report() *chaos.Report {
	if t.shared {
		return nil
	}
	return t.Report()
}

// watched is the same for the time series.
func (t *trouble) watched(other watched) watched {
	if own := t.Source(); own != nil {
		return watched{source: own}
	}
	return other
}
