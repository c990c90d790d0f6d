package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"

	"github.com/switchyard-im/switchyard/bench/chaos"
	"github.com/switchyard-im/switchyard/bench/cluster"
	"github.com/switchyard-im/switchyard/bench/report"
)

// workerCommand is one of the processes of --processes.
type partWorkerCommand struct{}

// Run is called by kong.
func (c *partWorkerCommand) Run(ctx context.Context) error {
	return cluster.Serve(ctx, stdio{os.Stdin, os.Stdout}, version, work)
}

// stdio is the pipes to the process that started this one.
type stdio struct {
	io.Reader
	io.Writer
}

// Close implements io.Closer; the end of the process closes the pipes.
func (s stdio) Close() error { return os.Stdin.Close() }

// agentCommand makes this machine one of those that drive a load.
type agentCommand struct {
	Listen     string `required:"" help:"Where to wait for a controller." placeholder:"HOST:PORT"`
	SecretFile string `required:"" type:"path" help:"The secret that the controller has too: at least 16 bytes (openssl rand -hex 32)." placeholder:"FILE"`
}

// Run is called by kong.
func (c *agentCommand) Run(ctx context.Context, t *terminal) error {
	secret, err := cluster.LoadSecret(c.SecretFile)
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", c.Listen)
	if err != nil {
		return fmt.Errorf("agent: %w", err)
	}
	var mu sync.Mutex
	log := func(line string) {
		mu.Lock()
		defer mu.Unlock()
		fmt.Fprintln(t.out, "agent: "+line)
	}
	log("version " + version + " waits for a controller at " + listener.Addr().String())
	a := &cluster.Agent{Secret: secret, Version: version, Work: work, Log: log}
	return a.Listen(ctx, listener)
}

// controllerCommand has agents drive a load.
type controllerCommand struct {
	Agents     []string `required:"" help:"The agents, among which the load is shared." placeholder:"HOST:PORT"`
	SecretFile string   `required:"" type:"path" help:"The secret that the agents have too." placeholder:"FILE"`
	Command    []string `arg:"" passthrough:"" help:"What to drive: FILE.yaml (see run), or a scenario with its options."`
}

// Run is called by kong.
func (c *controllerCommand) Run(ctx context.Context, t *terminal) error {
	if len(c.Agents) == 0 {
		return fmt.Errorf("%w: --agents names none: give HOST:PORT of at least one", errUsage)
	}
	secret, err := cluster.LoadSecret(c.SecretFile)
	if err != nil {
		return err
	}
	words := c.Command
	if strings.HasSuffix(words[0], ".yaml") || strings.HasSuffix(words[0], ".yml") {
		words = append([]string{"run"}, words...)
	}
	t.agents = &agents{c.Agents, secret}
	return t.execute(ctx, words)
}

// spread has several processes or machines drive one scenario.
func (t *terminal) spread(ctx context.Context, l load) error {
	w := &whole{
		flags: &wholeRun{*l.output(), *l.server(), *l.shares(), *l.troubles()}, loads: []jobLoad{{Args: t.args}}, kinds: []kind{l.kind()}, url: l.address(), typ: l.kind().typ,
		outcome: func(parts []sharedOutcome, server *report.Server, made *chaos.Report) outcome {
			return complete(parts[0], server, made)
		},
	}
	return w.run(ctx, t)
}
