package main

import (
	"encoding/json"
	"fmt"
	"math"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"github.com/switchyard-im/switchyard/frame"
)

// signalCommand runs "switchyard signal" against the server's admin address.
func signalCommand(t *testing.T, what, base string) (status int, out, errOut string) {
	t.Helper()
	return command(nil, "signal", what, "--admin", strings.TrimPrefix(base, "http://"), "--timeout", patience.String())
}

// askVars reads /varz.
func askVars(t *testing.T, base string) (r running) {
	t.Helper()
	_, body := get(t, base+"/varz")
	if err := json.Unmarshal([]byte(body), &r); err != nil {
		t.Fatalf("%v: %s", err, body)
	}
	return r
}

// dialer dials and upgrades one connection after another until it is told to end, and counts. The first failure fails the test.
type dialer struct {
	t       *testing.T
	stop    chan struct{}
	work    sync.WaitGroup
	dials   int
	longest time.Duration
}

func (i *installation) keepDialling() *dialer {
	d := &dialer{t: i.t, stop: make(chan struct{})}
	d.work.Go(func() {
		for {
			select {
			case <-d.stop:
				return
			default:
			}
			begin := time.Now()
			if err := dialOnce(i); err != nil {
				i.t.Errorf("dial %d: %v", d.dials, err)
				return
			}
			d.dials++
			d.longest = max(d.longest, time.Since(begin))
		}
	})
	return d
}

// dialOnce upgrades a connection and resets it, so that the ports of the machine are not used up.
func dialOnce(i *installation) error {
	d := ws.Dialer{Protocols: []string{"switchyard.v1.msgpack"}, Timeout: patience}
	conn, _, _, err := d.Dial(i.t.Context(), "ws://"+i.listen+"/v1/ws")
	if err != nil {
		return err
	}
	_ = conn.(*net.TCPConn).SetLinger(0)
	return conn.Close()
}

func (d *dialer) end() int {
	close(d.stop)
	d.work.Wait()
	return d.dials
}

// openFiles is the least of several looks, since an answer or a file of the store may be under way.
func openFiles(t *testing.T, pid int) int {
	t.Helper()
	least := math.MaxInt
	for range 20 {
		entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
		if err != nil {
			t.Fatal(err)
		}
		least = min(least, len(entries))
		time.Sleep(10 * time.Millisecond)
	}
	return least
}

// TestUpgrade replaces the binary three times while visitors and agents chat and somebody dials all the time. No dial is refused, no message is
// lost, the process keeps its number, and no descriptor is left behind.
func TestUpgrade(t *testing.T) {
	const upgrades, pairs = 3, 50
	// On a machine with much else to do a server may be late enough to refuse connections for that, before an upgrade as well as after it.
	i := newInstallation(t, "--set", "reconnect.drain_window=300ms")
	p, base := i.start()
	load, dialling := i.chat(pairs, 1000, patience), i.keepDialling()
	for n := range upgrades {
		time.Sleep(500 * time.Millisecond) // of chatting
		before := askVars(t, base)
		if status, out, errOut := signalCommand(t, "upgrade", base); status != exitOK || !strings.Contains(out, "upgraded") {
			t.Fatalf("upgrade %d: status %d, %s %s", n, status, out, errOut)
		}
		if now := askVars(t, base); now.PID != p.cmd.Process.Pid || !now.Started.After(before.Started) {
			t.Errorf("after upgrade %d: %+v, before %+v", n, now, before)
		}
		p.awaitReady()
	}
	dials := dialling.end()
	r := load.report()
	t.Logf("%d dials, the longest took %v", dials, dialling.longest)
	if r.Reconnects < 2*pairs*upgrades || dials < 2*upgrades {
		t.Errorf("%d reconnects and %d dials did not meet %d upgrades", r.Reconnects, dials, upgrades)
	}
	var files [3]int // nobody is connected any more
	for n := range files {
		signalCommand(t, "upgrade", base)
		p.awaitReady()
		files[n] = openFiles(t, p.cmd.Process.Pid)
	}
	if files[2] > files[0]+1 { // one may come and go
		t.Errorf("after one, two and three upgrades %d descriptors are open", files)
	}
	if status, out, errOut := signalCommand(t, "stop", base); status != exitOK {
		t.Errorf("signal stop: %d %s %s", status, out, errOut)
	}
	if status, by := p.wait(); status != exitOK {
		t.Errorf("status %d, signal %v", status, by)
	}
}

// TestUpgradeToNothing: a binary that does not run, and a configuration that is wrong, do not take over, and the server goes on.
func TestUpgradeToNothing(t *testing.T) {
	dir := t.TempDir()
	binary, file := filepath.Join(dir, "switchyard"), filepath.Join(dir, "switchyard.yaml")
	config := func(text string) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	link := func() {
		_ = os.Remove(binary)
		if err := os.Symlink(os.Args[0], binary); err != nil {
			t.Fatal(err)
		}
	}
	link()
	config("log:\n  level: info\n")
	i := newInstallation(t, "--config", file, "--set", "server.upgrade_timeout=100ms")
	i.binary = binary
	p, base := i.start()
	w := i.login("ann", frame.RoleVisitor)
	refused := func(want string) {
		t.Helper()
		if status, _, errOut := signalCommand(t, "upgrade", base); status != exitFailed || !strings.Contains(errOut, want) {
			t.Errorf("status %d, %s; want %q", status, errOut, want)
		}
	}
	_ = os.Remove(binary)
	refused("cannot be found")
	if err := os.WriteFile(binary, []byte("#!/bin/sh\necho built for another machine >&2; exit 3\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	refused("built for another machine")
	link()
	config("log:\n  level: loud\n")
	refused("loud")
	w.open(1) // still the same connection
	config("log:\n  level: debug\n")
	if status, _, errOut := signalCommand(t, "upgrade", base); status != exitOK {
		t.Errorf("status %d, %s", status, errOut)
	}
	p.awaitReady()
	w.expectClose(frame.CloseDrain)
	i.login("ann", frame.RoleVisitor).conn.Close()
	p.awaitText(`"msg":"connection closed"`) // the new level is in force
}

// TestStopDuringCheck: a new binary that does not come to an end, nor does what it started, delays no stop.
func TestStopDuringCheck(t *testing.T) {
	dir := t.TempDir()
	binary, begun := filepath.Join(dir, "switchyard"), filepath.Join(dir, "begun")
	if err := os.Symlink(os.Args[0], binary); err != nil {
		t.Fatal(err)
	}
	i := newInstallation(t)
	i.binary = binary
	p, _ := i.start()
	_ = os.Remove(binary)
	if err := os.WriteFile(binary, []byte("#!/bin/sh\n(touch "+begun+"; sleep 300)\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Process.Signal(signalUpgrade); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		if _, err := os.Stat(begun); err == nil {
			break
		}
		if time.Now().After(end) {
			t.Fatal("the check does not begin")
		}
	}
	if status, by := p.signal(signalStop); status != exitOK {
		t.Errorf("status %d, signal %v", status, by)
	}
}

// TestUpgradeCutsOffWhoStays: a client that does not leave delays an upgrade for server.upgrade_timeout only.
func TestUpgradeCutsOffWhoStays(t *testing.T) {
	i := newInstallation(t, "--set", "server.upgrade_timeout=10ms", "--set", "server.drain_timeout=1h", "--set", "websocket.linger_timeout=1m")
	_, base := i.start()
	stayer(t, i.listen)
	if status, _, errOut := signalCommand(t, "upgrade", base); status != exitOK {
		t.Errorf("status %d, %s", status, errOut)
	}
}

// TestStopDuringUpgrade: a signal to stop that comes while the old binary says goodbye is a stop.
func TestStopDuringUpgrade(t *testing.T) {
	i := newInstallation(t, "--set", "server.upgrade_timeout=1m", "--set", "websocket.linger_timeout=1m")
	p, base := i.start()
	conn := stayer(t, i.listen)
	if err := p.cmd.Process.Signal(signalUpgrade); err != nil {
		t.Fatal(err)
	}
	awaitNotReady(t, base)
	if err := p.cmd.Process.Signal(signalStop); err != nil {
		t.Fatal(err)
	}
	p.awaitText("stops instead of upgrading")
	conn.Close()
	if status, by := p.wait(); status != exitOK {
		t.Errorf("status %d, signal %v", status, by)
	}
	if n := strings.Count(p.text(), `"msg":"ready"`); n != 1 {
		t.Errorf("it was ready %d times", n)
	}
}

// TestSocketActivation: systemd opens the socket, so who connects while no server runs waits for one.
func TestSocketActivation(t *testing.T) {
	var lc net.ListenConfig
	lc.SetMultipathTCP(false) // as systemd's are
	socket, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	file, err := socket.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	i := newInstallation(t)
	i.listen = socket.Addr().String()
	activate := func() *process {
		shell := []string{"-c", `LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES=switchyard.socket exec "$@"`, "sh", os.Args[0], "serve", "--dev", "--data", i.dir, "--admin", "127.0.0.1:0", "--listen", "127.0.0.1:1"}
		cmd := exec.Command("/bin/sh", shell...)
		cmd.ExtraFiles = []*os.File{file}
		return launch(t, "ready", cmd)
	}
	waits := make(chan error, 1)
	for range 2 {
		go func() { waits <- dialOnce(i) }()
		p := activate()
		if line := p.awaitReady(); line["address"] != i.listen {
			t.Errorf("it listens on %v", line["address"])
		}
		if err := <-waits; err != nil {
			t.Error(err)
		}
		if !strings.Contains(p.text(), "the configured address has no effect") {
			t.Error("nobody is told that server.listen has no effect")
		}
		if status, by := p.signal(signalStop); status != exitOK {
			t.Errorf("status %d, signal %v", status, by)
		}
	}
}

func TestSocketsOfSystemd(t *testing.T) {
	for _, c := range []struct {
		count, names string
		want         sockets
		err          string
	}{
		{"1", "switchyard.socket", sockets{clients: 3}, ""},
		{"2", "clients:admin", sockets{clients: 3, admin: 4}, ""},
		{"2", "admin:switchyard.socket", sockets{clients: 4, admin: 3}, ""},
		{"3", "clients:admin:api", sockets{clients: 3, admin: 4, api: 5}, ""},
		{"1", "", sockets{clients: 3}, ""},
		{"2", "a:b", sockets{}, "two sockets for clients"},
		{"many", "", sockets{}, "not a number"},
	} {
		got, err := fromSystemd(c.count, c.names)
		if c.err == "" && (err != nil || got != c.want) || c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err)) {
			t.Errorf("%q %q: %+v, %v", c.count, c.names, got, err)
		}
	}
	mine := fmt.Sprint(os.Getpid())
	for _, c := range []struct {
		env  []string
		want sockets
	}{
		{[]string{"LISTEN_PID=" + mine, "LISTEN_FDS=1", "A=b"}, sockets{clients: 3}},
		{[]string{"LISTEN_PID=1", "LISTEN_FDS=1", "A=b"}, sockets{}},
		{[]string{sockets{7, 8, 9}.entry(), "LISTEN_PID=" + mine, "LISTEN_FDS=1", "A=b"}, sockets{7, 8, 9}},
		{[]string{"SWITCHYARD_HANDED_OVER=1:7:8", "A=b"}, sockets{}},
	} {
		got, rest, err := takeSockets(c.env)
		if err != nil || got != c.want || len(rest) != 1 || rest[0] != "A=b" {
			t.Errorf("%q: %+v, the rest %q, %v", c.env, got, rest, err)
		}
	}
}
