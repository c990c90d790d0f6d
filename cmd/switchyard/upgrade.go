package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// checkTimeout bounds the check of a new binary. It reads the configuration and the keys, no more.
const checkTimeout = 10 * time.Second

// failedUpgrade is why the last one did not take place.
type failedUpgrade struct {
	at  time.Time
	err error
}

// replacement is how the process becomes the binary that now has its name, with the same arguments: it checks that binary, and once the store
// and everything else is closed, it executes it, with the listening sockets left open. The number of the process stays, so whoever supervises
// it sees no end, and the new binary has the place, the limits and the credentials of the old one.
type replacement struct {
	args []string // as the process was started
	env  []string // without what says which sockets were handed over
}

// check runs "config check" of the new binary with the arguments of serve. So a binary that does not run on this machine, or does not
// understand its configuration, does not take over.
func (r *replacement) check(ctx context.Context) error {
	binary, err := r.binary()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	args := append([]string{"config", "check"}, r.args[2:]...) // after the name and "serve"
	cmd := exec.CommandContext(ctx, binary, args...)
	var said bytes.Buffer
	cmd.Env, cmd.Stdout, cmd.Stderr = r.env, io.Discard, &said
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // so that what it starts ends with it
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = time.Second // and holds nobody up if it does not
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s %s: %w: %s", binary, strings.Join(args, " "), err, strings.TrimSpace(said.String()))
	}
	return nil
}

// binary is the file that the first argument names today.
func (r *replacement) binary() (string, error) {
	path, err := exec.LookPath(r.args[0])
	if err != nil {
		err = fmt.Errorf("the new binary cannot be found: %w", err)
	}
	return path, err
}

// execute becomes the new binary, or returns an error. The loops must have ended, since netpoll's descriptors would stay open; all others but
// the sockets are closed on exec.
func (r *replacement) execute(s sockets) error {
	binary, err := r.binary()
	if err != nil {
		return err
	}
	for _, fd := range []int{s.clients, s.admin, s.api} {
		if fd == 0 {
			continue
		}
		if _, err := unix.FcntlInt(uintptr(fd), unix.F_SETFD, 0); err != nil {
			return fmt.Errorf("leaving a listening socket open: %w", err)
		}
	}
	signal.Ignore(signalUpgrade, signalDrain) // until the new binary listens to them; their default would end it
	return os.NewSyscallError("execve "+binary, syscall.Exec(binary, r.args, append(r.env, s.entry())))
}

// keepSockets duplicates the listening sockets, so that they stay open when the server stops.
func (s *server) keepSockets() (kept sockets, err error) {
	var err2, err3 error
	kept.clients, err = s.net.Listener()
	kept.admin, err2 = s.admin.Listener()
	if s.api != nil {
		kept.api, err3 = s.api.Listener()
	}
	return kept, errors.Join(err, err2, err3)
}

// awaitStop returns the result of a stop that is under way, and whether a signal asked for it to be the end. After such a signal the next one ends
// the process at once, as ever.
func awaitStop(stopped <-chan error, signals <-chan os.Signal, log *slog.Logger) (err error, asked bool) {
	for {
		select {
		case err := <-stopped:
			return err, asked || stopWaits(signals)
		case sig := <-signals:
			if isStop(sig) {
				asked = true
				signal.Reset(signalStop, syscall.SIGINT)
				log.Info("the server stops instead of upgrading", "signal", sig.String())
			}
		}
	}
}

func isStop(sig os.Signal) bool { return sig == signalStop || sig == syscall.SIGINT }

// stopWaits tells whether a signal to stop came at the same time as the end.
func stopWaits(signals <-chan os.Signal) bool {
	for len(signals) > 0 {
		if isStop(<-signals) {
			return true
		}
	}
	return false
}
