package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"syscall"
	"time"

	"github.com/switchyard-im/switchyard/cmd/switchyard/config"
)

// askTimeout bounds one question to the admin address.
const askTimeout = 5 * time.Second

type signalCmd struct {
	What    string         `arg:"" enum:"stop,drain,upgrade" help:"stop: quickly (SIGTERM). drain: take it out of service without haste (SIGUSR2). upgrade: let the binary and the configuration that are on the disk now take over (SIGUSR1), and wait for that."`
	Admin   config.Address `default:"127.0.0.1:8081" env:"SWITCHYARD_ADMIN_LISTEN" help:"The server's admin address, which tells its process."`
	Timeout time.Duration  `default:"2m" help:"The longest wait for an upgrade."`
}

// running is what /varz tells of a server.
type running struct {
	PID           int       `json:"pid"`
	ServerID      string    `json:"server_id"`
	Started       time.Time `json:"started"`
	Phase         string    `json:"phase"`
	UpgradeFailed struct {
		At    time.Time `json:"at"`
		Error string    `json:"error"`
	} `json:"upgrade_failed"`
	History *struct {
		BacklogRows  uint64 `json:"backlog_rows"`
		BacklogBytes uint64 `json:"backlog_bytes"`
		ShippedRows  uint64 `json:"shipped_rows"`
		DeadRows     uint64 `json:"dead_rows"`
		Error        string `json:"error"`
		Since        string `json:"since"`
	} `json:"history"`
}

// drains tells whether the server ignores an upgrade. One that stops may do so in order to upgrade.
func (r *running) drains() bool { return r.Phase == phaseNames[draining] }

func (r *running) noUpgrade() error {
	return fmt.Errorf("%s drains, and takes no upgrade any more; start the new binary when it has ended", r.ServerID)
}

// Run finds the process by its admin address and sends the signal. There is no file with its number: that would outlive a crash and could
// name another process.
func (c *signalCmd) Run(env *environment) error {
	before, err := askVarz(c.Admin)
	if err != nil {
		return err
	}
	if before.Phase == "" && c.What != "stop" {
		return fmt.Errorf("what answers at %s is an echo server, which knows no %s; it can only be stopped", c.Admin, c.What)
	}
	if c.What == "upgrade" && before.drains() {
		return before.noUpgrade()
	}
	sig := map[string]syscall.Signal{"stop": signalStop, "drain": signalDrain, "upgrade": signalUpgrade}[c.What]
	if err := syscall.Kill(before.PID, sig); err != nil {
		return fmt.Errorf("sending %v to the process %d of %s: %w; run this as the server's user or as root", sig, before.PID, before.ServerID, err)
	}
	fmt.Fprintf(env.stdout, "%s: signal %q was sent to process %d\n", before.ServerID, c.What, before.PID)
	if c.What != "upgrade" {
		return nil
	}
	return c.awaitUpgrade(env.stdout, before)
}

// askVarz reads /varz.
func askVarz(admin config.Address) (r running, err error) {
	client := http.Client{Timeout: askTimeout, Transport: &http.Transport{DisableKeepAlives: true, DialContext: dialHere}}
	answer, err := client.Get("http://" + admin.AddrPort() + "/varz")
	if err != nil {
		return r, fmt.Errorf("no server answers at %s: %w; give its admin.listen with --admin", admin, err)
	}
	defer answer.Body.Close()
	if err = json.NewDecoder(io.LimitReader(answer.Body, 1<<20)).Decode(&r); err != nil || r.PID <= 0 {
		return r, fmt.Errorf("what answers at %s is not the admin address of a server; give its admin.listen with --admin", admin)
	}
	return r, nil
}

// dialHere dials and insists on this machine, because a process of another one cannot be signalled, but one of ours could have its number.
func dialHere(ctx context.Context, network, address string) (net.Conn, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	if !sameMachine(conn.LocalAddr().(*net.TCPAddr).IP, conn.RemoteAddr().(*net.TCPAddr).IP) {
		conn.Close()
		return nil, errors.New("it is on another machine; run this command there")
	}
	return conn, nil
}

// sameMachine tells it from the two ends of a connection: whoever connects to an address of his own does so from it.
func sameMachine(from, to net.IP) bool { return to.IsLoopback() || to.Equal(from) }

// awaitUpgrade waits until another start serves, or the server says why not. In between nothing may answer.
func (c *signalCmd) awaitUpgrade(out io.Writer, before running) error {
	for deadline := time.Now().Add(c.Timeout); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		now, err := askVarz(c.Admin)
		switch {
		case err != nil && errors.Is(syscall.Kill(before.PID, 0), syscall.ESRCH):
			return fmt.Errorf("%s has ended and was not upgraded; its log tells why", before.ServerID)
		case err != nil:
		case now.drains() && now.Started.Equal(before.Started):
			return now.noUpgrade()
		case now.UpgradeFailed.At.After(before.UpgradeFailed.At) && now.Started.Equal(before.Started):
			return fmt.Errorf("%s goes on as before: %s", now.ServerID, now.UpgradeFailed.Error)
		case now.Started.After(before.Started) && now.Phase == phaseNames[serving]:
			fmt.Fprintf(out, "%s: upgraded\n", now.ServerID)
			return nil
		}
	}
	return fmt.Errorf("%s was not upgraded within %v; its log tells more", before.ServerID, c.Timeout)
}
