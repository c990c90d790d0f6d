package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"syscall"
	"time"

	"github.com/alecthomas/kong"
	"github.com/bytedance/sonic"

	"github.com/switchyard-im/switchyard/bench/codec"
	"github.com/switchyard-im/switchyard/frame"
)

// version is that of this repository; the build sets it.
var version = "unknown"

// defaultText has 128 bytes, with some that are not ASCII.
const defaultText = "Hello, I ordered two pairs of shoes (order 48213) a week ago and they are not here yet. Where are they? Thanks! – Zoë Müller"

// config is the command line.
type config struct {
	Rounds int           `default:"21" help:"Rounds; each measures every codec once under every operation."`
	Time   time.Duration `default:"40ms" help:"CPU time of a measurement."`
	Batch  int           `default:"16" help:"Messages of a batch."`
	Text   string        `default:"${text}" help:"Text of every message."`
}

// Validate is called by kong.
func (c *config) Validate() error {
	if c.Rounds < 1 || c.Time < time.Millisecond || c.Batch < 2 || c.Batch > 1024 {
		return errors.New("rounds are 1 at least, time 1ms, and a batch has 2 to 1024 messages")
	}
	if len(c.Text) > frame.MaxMessage/2 {
		return fmt.Errorf("the text has %d bytes; a message holds %d, and JSON may need two for one", len(c.Text), frame.MaxMessage)
	}
	return nil
}

func (c *config) one() []chat     { return conversation(1, c.Text) }
func (c *config) several() []chat { return conversation(c.Batch, c.Text) }

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// run is main without the process: it returns the exit code.
func run(ctx context.Context, args []string, out, errOut io.Writer) int {
	var cfg config
	help := false
	parser, err := kong.New(&cfg, kong.Name(codec.Program), kong.Writers(out, errOut), kong.Exit(func(int) { help = true }), kong.Vars{"text": defaultText},
		kong.Description("Measures codecs on one and the same chat message, and writes a report as JSON. `switchyard-bench codec` shows it."))
	if err != nil {
		panic("BUG: codecs: " + err.Error())
	}
	if _, err = parser.Parse(args); help {
		return 0
	}
	if err != nil {
		fmt.Fprintln(errOut, err)
		return codec.ExitUsage
	}
	rep, err := compare(ctx, &cfg, errOut)
	if err == nil {
		err = json.NewEncoder(out).Encode(rep)
	}
	switch {
	case err == nil:
		return 0
	case errors.Is(err, errAltered):
		fmt.Fprintln(errOut, err)
		return codec.ExitAltered
	}
	fmt.Fprintln(errOut, err)
	return codec.ExitCannotRun
}

// compare proves the codecs and then measures them.
func compare(ctx context.Context, cfg *config, log io.Writer) (*codec.Report, error) {
	if sonic.APIKind != sonic.UseSonicJSON {
		return nil, fmt.Errorf("codecs: sonic stands aside for encoding/json with %s on %s; build with a version of Go that it supports, or a newer sonic", runtime.Version(), runtime.GOARCH)
	}
	rep := &codec.Report{
		Rounds: cfg.Rounds, Seconds: cfg.Time.Seconds(), TextBytes: len(cfg.Text), BatchOf: cfg.Batch, Go: runtime.Version(), Modules: modules(),
		InvalidText: fmt.Sprintf("%q", invalid), One: map[string]codec.Figures{}, Batch: map[string]codec.Figures{}, Guards: map[string]codec.Guard{},
	}
	var err error
	if rep.RoundTrips, err = checkAll(kinds, uint64(time.Now().UnixNano()), cfg.one(), cfg.several()); err != nil {
		return nil, err
	}
	for i := range kinds {
		k := &kinds[i]
		rep.Codecs = append(rep.Codecs, k.name)
		if rep.Guards[k.name], err = guard(k); err != nil {
			return nil, err
		}
	}
	return rep, measureAll(ctx, cfg, rep, log)
}

// modules are what the codecs come from, and of which version.
func modules() map[string]string {
	versions := map[string]string{}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, m := range info.Deps {
			versions[m.Path] = m.Version
		}
	}
	versions["encoding/json"], versions[ourModule] = runtime.Version(), version
	all := map[string]string{}
	for _, k := range kinds {
		all[k.name] = k.module + " " + cmp.Or(versions[k.module], "of an unknown version")
	}
	return all
}
