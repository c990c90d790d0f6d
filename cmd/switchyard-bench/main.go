// Command switchyard-bench loads a server over real sockets and verifies every answer. See `switchyard-bench --help`.
//
// It exits with 0 if all went well, 1 if an answer was wrong (the first cases are named) or a threshold of --fail-if was met, 2 if the command line was, and 3 if the run could
// not take place.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/alecthomas/kong"
)

// Exit codes.
const (
	exitOK        = 0
	exitViolation = 1
	exitUsage     = 2
	exitCannotRun = 3
)

// errViolation ends a run whose oracle found something; the table has named it.
var errViolation = errors.New("the server broke its promises")

type commands struct {
	Version kong.VersionFlag `help:"Print the version."`

	Chat       chatCommand     `cmd:"" help:"Visitors and agents exchange durable messages in pairs; every message is verified."`
	Desk       deskCommand     `cmd:"" help:"The life of a customer service: queues, agents with a capacity, transfers; every message and every assignment is verified."`
	History    historyCommand  `cmd:"" help:"Readers page through conversations, by HTTP or over WebSockets: the time of a page; every page is verified."`
	Fanout     fanoutCommand   `cmd:"" help:"One message to thousands of connections: server CPU per delivery beside that of a bare write."`
	Resume     resumeCommand   `cmd:"" help:"Thousands of clients resume at once: the time until all have what they missed."`
	Storm      stormCommand    `cmd:"" help:"The server goes away and comes back under thousands of clients: the time until all are back, and nothing is lost."`
	Overload   overloadCommand `cmd:"" help:"Offers more than the server can take: what is accepted, and in what time."`
	Soak       soakCommand     `cmd:"" help:"A long load while the server is killed, drained and paused, connections are reset and ClickHouse goes away: nothing is lost, and the server gains nothing."`
	Slow       slowCommand     `cmd:"" help:"Clients that stop reading: what the others notice of them, and how they end."`
	Sink       sinkCommand     `cmd:"" help:"The journal, and the way from it to ClickHouse, beside the least that either could do."`
	Codec      codecCommand    `cmd:"" help:"The same message in JSON, msgpack, protobuf, FlatBuffers and as the server writes it: bytes, time and allocations."`
	Echo       echoCommand     `cmd:"" help:"Measure any WebSocket echo server."`
	Idle       idleCommand     `cmd:"" help:"Measure what idle connections cost the server."`
	Compare    compareCommand  `cmd:"" help:"Set several runs side by side."`
	IdleWorker workerCommand   `cmd:"" hidden:"" help:"One process of idle --serve."`

	mixCommands
}

// terminal is where a command writes.
type terminal struct {
	out      io.Writer // the table
	progress *progress
	scenario string   // the command
	args     []string // all of the command line
	agents   *agents  // the machines that drive the load; nil: this one
	part     *part    // the command is a part of a larger run; nil: it is the run
}

// collectAt is the growth of the heap, in percent, at which the collector runs, unless GOGC says otherwise. A generator allocates while it opens its
// connections and hardly after that, so that a small heap costs little; twenty thousand clients are to fit into 60 MB.
const collectAt = 20

func main() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(collectAt)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// run is main without the process: it returns the exit code.
func run(ctx context.Context, args []string, out, errOut io.Writer) int {
	err := (&terminal{out: out, progress: newProgress(errOut)}).execute(ctx, args)
	switch {
	case err == nil:
		return exitOK
	case errors.Is(err, errViolation), errors.Is(err, errThreshold):
		fmt.Fprintf(errOut, "switchyard-bench: %v\n", err)
		return exitViolation
	case errors.Is(err, errUsage):
		fmt.Fprintf(errOut, "switchyard-bench: %v (see switchyard-bench --help)\n", err)
		return exitUsage
	}
	fmt.Fprintf(errOut, "switchyard-bench: %v\n", err)
	return exitCannotRun
}

// execute runs a command line.
func (t *terminal) execute(ctx context.Context, args []string) error {
	var cmds commands
	help := false
	parser, err := kong.New(&cmds, kong.Name("switchyard-bench"), kong.Writers(t.out, t.progress.w), kong.Exit(func(int) { help = true }),
		kong.Description("Load generator with an oracle for Switchyard: real clients over real sockets, every message checked."),
		kong.Vars{"version": version}, kong.BindTo(ctx, (*context.Context)(nil)))
	if err != nil {
		panic("BUG: switchyard-bench: " + err.Error())
	}
	parsed, err := parser.Parse(args)
	switch {
	case help:
		return nil
	case err != nil:
		return fmt.Errorf("%w: %w", errUsage, err)
	}
	t.scenario, t.args = parsed.Selected().Name, args
	command := parsed.Selected().Target.Addr().Interface()
	l, shared := command.(load)
	_, isRun := command.(*runCommand)
	switch {
	case shared && l.shares().Processes < 0:
		return fmt.Errorf("%w: --processes: %d is out of range", errUsage, l.shares().Processes)
	case shared && (t.agents != nil || l.shares().Processes > 1):
		return t.spread(ctx, l)
	case t.agents != nil && !isRun:
		return fmt.Errorf("%w: %s cannot be shared by several machines; a file can, and %s", errUsage, t.scenario, newLoadModel().scenarios())
	}
	return parsed.Run(t)
}
