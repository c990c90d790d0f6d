// Command peers measures switchyard's echo server beside echo servers on other WebSocket libraries for Go, in one run. It is a module of its own,
// so that the libraries are no dependency of switchyard.
//
// `peers serve NAME` is one of these servers. `peers compare` runs each as a process of its own, and switchyard, from the same load generator
// (switchyard-bench), and prints tables.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"

	"github.com/switchyard-im/switchyard/bench/peers/server"
)

type commands struct {
	Serve   serveCommand   `cmd:"" help:"Run the echo server of one peer."`
	Compare compareCommand `cmd:"" help:"Measure all of them and switchyard, in interleaved rounds."`
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var c commands
	parsed := kong.Parse(&c, kong.Name("peers"), kong.Description("Echo servers of other libraries beside switchyard's."), kong.BindTo(ctx, (*context.Context)(nil)))
	parsed.FatalIfErrorf(parsed.Run())
}

type serveCommand struct {
	Peer   string `arg:"" help:"gorilla, gws, nbio, nbio-pool, coder, gobwas or gobwas-merged."`
	Listen string `default:"127.0.0.1:8080" help:"IP:PORT; every path upgrades."`
	Admin  string `default:"127.0.0.1:8081" help:"IP:PORT for heap figures, profiles and POST /debug/collect."`
}

// Run is called by kong.
func (c *serveCommand) Run(ctx context.Context) error {
	peer := server.Find(c.Peer)
	if peer == nil {
		return fmt.Errorf("no peer is called %q", c.Peer)
	}
	admin, err := server.Listen(ctx, c.Admin)
	if err != nil {
		return err
	}
	l, err := server.Listen(ctx, c.Listen)
	if err != nil {
		return err
	}
	ended := make(chan error, 2)
	go func() { ended <- server.ServeAdmin(admin) }() // both end with the process
	go func() { ended <- peer.Serve(l) }()
	select {
	case err := <-ended:
		return fmt.Errorf("%s: %w", peer.Name, err)
	case <-ctx.Done():
		return nil
	}
}
