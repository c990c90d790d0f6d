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

// TestLameDuck: after the signal readiness fails, and connections come and are served as ever. A stop then hurries everything.
func TestLameDuck(t *testing.T) {
	i := newInstallation(t, "--set", "server.lame_duck_delay=1h")
	p, base := i.start()
	if status, out, errOut := signalCommand(t, "drain", base); status != exitOK || !strings.Contains(out, "drain") {
		t.Fatalf("signal drain: %d %s %s", status, out, errOut)
	}
	awaitNotReady(t, base)
	if _, body := get(t, base+"/readyz"); !strings.Contains(body, `"server": "draining"`) {
		t.Errorf("/readyz: %s", body)
	}
	if status, _, errOut := signalCommand(t, "upgrade", base); status != exitFailed || !strings.Contains(errOut, "drains, and takes no upgrade any more") {
		t.Errorf("signal upgrade: %d %s", status, errOut)
	}
	w := i.login("ann", frame.RoleVisitor)
	conv := w.open(1)
	w.frames((&frame.Send{Ref: 3, Conv: conv, Level: 2, ID: frame.ID{1}, Base: 1, Body: frame.AppendText(nil, "x")}).Append(nil))
	w.expect(frame.TypeAck)
	for _, again := range []syscall.Signal{signalDrain, signalUpgrade, signalStop} { // the first two change nothing
		if err := p.cmd.Process.Signal(again); err != nil {
			t.Fatal(err)
		}
	}
	w.expect(frame.TypeDrain)
	w.expectClose(frame.CloseDrain)
	w.conn.Close()
	if status, by := p.wait(); status != exitOK {
		t.Errorf("status %d, signal %v", status, by)
	}
}

func awaitNotReady(t *testing.T, base string) {
	t.Helper()
	for code, end := 0, time.Now().Add(patience); code != 503; time.Sleep(time.Millisecond) {
		if code, _ = get(t, base+"/readyz"); time.Now().After(end) {
			t.Fatalf("/readyz still answers %d", code)
		}
	}
}

// TestDrainUnderLoad drains a server while visitors and agents chat, and starts it again when it has ended by itself. Each client leaves in its
// own slot, and no message is lost.
func TestDrainUnderLoad(t *testing.T) {
	const pairs = 50
	i := newInstallation(t, "--set", "server.lame_duck_delay=0s", "--set", "server.drain_time=3s", "--set", "reconnect.drain_window=500ms")
	p, _ := i.start()
	load := i.chat(pairs, 1000, patience)
	time.Sleep(time.Second) // of chatting
	if status, by := p.signal(signalDrain); status != exitOK {
		t.Errorf("status %d, signal %v", status, by)
	}
	if strings.Contains(p.text(), "draining ended early") {
		t.Error("clients had to be cut off")
	}
	i.start()
	if r := load.report(); r.Reconnects < 2*pairs {
		t.Errorf("%d connections were dialled again by %d clients", r.Reconnects, 2*pairs)
	}
}
