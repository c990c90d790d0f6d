// Package codec compares what codecs cost for one and the same chat message. The codecs themselves are in a program of its own, bench/codecs, so that
// their libraries are no dependency of what is shipped; this package runs that program and has its report.
package codec

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Program is the name of the program, which is built beside switchyard-bench.
const Program = "codecs"

// Exit codes of the program.
const (
	ExitAltered   = 1
	ExitUsage     = 2
	ExitCannotRun = 3
)

var (
	// ErrNotBuilt says that the program is not there, and how to get it.
	ErrNotBuilt = errors.New("codec: the program that holds the codecs is not there; it is a module of its own (bench/codecs), " +
		"built by `make bench-codec` into bin/" + Program + ", and --program names it in another place")

	// ErrAltered says that a message did not come back from a codec as it was.
	ErrAltered = errors.New("codec: a message was altered")
)

// Config of a run. Zero values are the defaults of the program.
type Config struct {
	Program  string        // path; default: Program beside this executable
	Rounds   int           // interleaved
	Time     time.Duration // CPU of each measurement
	Batch    int           // messages of a batch
	Text     string        // of every message
	Progress func(line string)
}

// Run measures. The error is or wraps ErrNotBuilt, ErrAltered or that of ctx, or tells what the program said.
func Run(ctx context.Context, cfg Config) (*Report, error) {
	program, err := cfg.program()
	if err != nil {
		return nil, err
	}
	said := &lines{each: cfg.Progress}
	var out bytes.Buffer
	cmd := exec.CommandContext(ctx, program, cfg.args()...)
	cmd.Stdout, cmd.Stderr = &out, said
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	cmd.WaitDelay = time.Second
	if err := cmd.Run(); err != nil {
		return nil, failure(ctx, program, err, said.last)
	}
	rep := new(Report)
	if err := json.Unmarshal(out.Bytes(), rep); err != nil {
		return nil, fmt.Errorf("codec: %s wrote no report: %w", program, err)
	}
	return rep, nil
}

// failure tells why the program did not end well.
func failure(ctx context.Context, program string, err error, last string) error {
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.As(err, &exit) && exit.ExitCode() == ExitAltered:
		return fmt.Errorf("%w: %s", ErrAltered, last)
	case last != "":
		return fmt.Errorf("codec: %s: %w: %s", program, err, last)
	}
	return fmt.Errorf("codec: %s: %w", program, err)
}

func (c *Config) program() (string, error) {
	path := c.Program
	if path == "" {
		self, err := os.Executable()
		if err != nil {
			return "", fmt.Errorf("codec: %w", err)
		}
		path = filepath.Join(filepath.Dir(self), Program)
	}
	if _, err := os.Stat(path); err != nil {
		return "", fmt.Errorf("%w (%w)", ErrNotBuilt, err)
	}
	return path, nil
}

func (c *Config) args() []string {
	var args []string
	if c.Rounds > 0 {
		args = append(args, "--rounds", strconv.Itoa(c.Rounds))
	}
	if c.Time > 0 {
		args = append(args, "--time", c.Time.String())
	}
	if c.Batch > 0 {
		args = append(args, "--batch", strconv.Itoa(c.Batch))
	}
	if c.Text != "" {
		args = append(args, "--text="+c.Text)
	}
	return args
}

// maxLine is the longest part of a line that is kept; what follows is dropped.
const maxLine = 4 << 10

// lines hands over what is written to it line by line, and remembers the last one. exec's copying goroutine alone uses it, until Run reads last.
type lines struct {
	each func(string)
	open []byte // the line that has no end yet
	last string
}

// Write implements io.Writer.
func (l *lines) Write(p []byte) (int, error) {
	n := len(p)
	for {
		line, rest, ended := bytes.Cut(p, []byte("\n"))
		l.open = append(l.open, line[:min(len(line), maxLine-len(l.open))]...)
		if !ended {
			return n, nil
		}
		if text := strings.TrimSpace(string(l.open)); text != "" {
			l.last = text
			if l.each != nil {
				l.each(text)
			}
		}
		l.open, p = l.open[:0], rest
	}
}
