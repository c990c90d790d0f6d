package main

import (
	"errors"
	"fmt"
	"io"

	"github.com/alecthomas/kong"

	"github.com/switchyard-im/switchyard/cmd/switchyard/config"
)

// The exit statuses.
const (
	exitOK     = 0
	exitFailed = 1 // the command could not do its work
	exitUsage  = 2 // the command line or the configuration is wrong
)

// environment is what a command sees of the process, so that tests can run commands.
type environment struct {
	args   []string // as of os.Args
	env    []string // as of os.Environ
	stdout io.Writer
	stderr io.Writer
}

// cli is the command line; the tags are kong's.
type cli struct {
	Serve   serveCmd   `cmd:"" help:"Run the server."`
	Echo    echoCmd    `cmd:"" help:"Run a WebSocket echo server on the same event loops, for conformance suites and comparisons."`
	Signal  signalCmd  `cmd:"" help:"Stop, drain or upgrade a running server."`
	History historyCmd `cmd:"" help:"The history in ClickHouse: its tables, its state, its dead letters."`
	Token   tokenCmd   `cmd:"" help:"Sign a token for a user."`
	APIKey  apikeyCmd  `cmd:"" name:"apikey" help:"Make a key for an application that uses the HTTP interface."`
	Config  configCmd  `cmd:"" help:"Print or check the configuration."`
	Version versionCmd `cmd:"" help:"Print the version."`
}

// run executes one command and returns the exit status.
func run(args []string, env environment) int {
	parser := kong.Must(&cli{},
		kong.Name("switchyard"),
		kong.Description("The realtime core of an online customer service: visitors and agents exchange durable messages over WebSockets."),
		kong.Writers(env.stdout, env.stderr),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}),
		kong.UsageOnError(),
	)
	if len(args) == 0 {
		args = []string{"--help"}
	}
	ctx, err := parser.Parse(args)
	if err != nil {
		fmt.Fprintf(env.stderr, "switchyard: %v; \"switchyard --help\" and \"switchyard COMMAND --help\" tell what is allowed\n", err)
		return exitUsage
	}
	return report(ctx.Run(&env), env.stderr)
}

// report prints a command's error and chooses the exit status.
func report(err error, stderr io.Writer) int {
	if err == nil {
		return exitOK
	}
	var problems config.Problems
	if errors.As(err, &problems) {
		fmt.Fprintf(stderr, "%v\nswitchyard: the configuration has %d problem(s), see above; docs/configuration.md has every option\n", problems, len(problems))
		return exitUsage
	}
	fmt.Fprintf(stderr, "switchyard: %v\n", err)
	return exitFailed
}
