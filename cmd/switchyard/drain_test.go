package main

import (
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/switchyard-im/switchyard/frame"
)

// TestDrain: a stopping server announces it, closes with 4000, and a detailed log names the session as its welcome frame did.
func TestDrain(t *testing.T) {
	i := newInstallation(t, "--log-level", "debug", "--set", "reconnect.drain_window=7s")
	p, _ := i.start()
	w := i.connect()
	w.frames((&frame.Hello{Ref: 1, Token: i.token("ann", frame.RoleVisitor, time.Hour)}).Append(nil))
	var welcome frame.Welcome
	if err := welcome.Parse(w.expect(frame.TypeWelcome)); err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	var drain frame.Drain
	if err := drain.Parse(w.expect(frame.TypeDrain)); err != nil || drain.WindowMS != 7000 {
		t.Errorf("%+v, %v", drain, err)
	}
	w.expectClose(frame.CloseDrain)
	w.conn.Close()
	if status, by := p.wait(); status != exitOK {
		t.Errorf("status %d, signal %v", status, by)
	}
	if want := `"trace_id":"` + welcome.Session.String() + `","reason":"shutdown"`; !strings.Contains(p.text(), want) {
		t.Errorf("the log lacks %s", want)
	}
}
