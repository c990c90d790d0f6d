package netserver

import (
	"errors"
	"log/slog"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestReusePort has two servers on one address. Both take connections, and a third that does not ask for it is refused.
func TestReusePort(t *testing.T) {
	first := serve(t, Config{ReusePort: true}, &testHandler{})
	address := first.Addr().String()
	second := serve(t, Config{Listen: address, ReusePort: true}, &testHandler{})
	if _, err := New(Config{Listen: address}, &testHandler{}, slog.New(slog.DiscardHandler), nil); err == nil || !strings.Contains(err.Error(), "reuse_port") {
		t.Errorf("a server that does not share the port: %v", err)
	}
	var took [2]int
	for dials := 0; took[0] == 0 || took[1] == 0; dials++ { // the kernel deals them out by a hash
		if dials == 1000 {
			t.Fatalf("of %d connections the servers took %v", dials, took)
		}
		open(t, first).Close()
		for i, s := range []*Server{first, second} {
			onLoop(t, s.loops[0], func() { took[i] = int(s.loops[0].n.opened) })
		}
	}
}

// TestListenerIsHandedOver has one server take over from another. Who connects in between waits in the backlog, and is served by the successor.
func TestListenerIsHandedOver(t *testing.T) {
	first := serve(t, Config{}, &testHandler{})
	fd, err := first.Listener()
	if err != nil {
		t.Fatal(err)
	}
	for _, option := range []int{unix.TCP_NODELAY, unix.TCP_DEFER_ACCEPT} { // as if systemd had opened it
		if err := unix.SetsockoptInt(fd, unix.IPPROTO_TCP, option, 0); err != nil {
			t.Fatal(err)
		}
	}
	stop(t, first)
	if _, err := first.Listener(); !errors.Is(err, ErrNoListener) {
		t.Errorf("a stopped server's listener: %v", err)
	}
	between := dialAddress(t, first.Addr().String(), 1)
	second := serve(t, Config{Listen: "127.0.0.1:1", Listener: fd, UserTimeout: -1}, &testHandler{})
	onLoop(t, second.loops[0], func() {
		fd := int(second.loops[0].listener.fd)
		for option, want := range map[int]bool{unix.TCP_NODELAY: true, unix.TCP_DEFER_ACCEPT: true, unix.TCP_USER_TIMEOUT: false} {
			if v, err := unix.GetsockoptInt(fd, unix.IPPROTO_TCP, option); v != 0 != want || err != nil {
				t.Errorf("option %d of the socket is %d, %v", option, v, err)
			}
		}
	})
	if second.Addr() != first.Addr() {
		t.Errorf("the successor listens on %v, the first on %v", second.Addr(), first.Addr())
	}
	between.send([]byte(upgradeRequest(second.cfg.Path, wanted)))
	if head := between.readHead(); !strings.HasPrefix(head, "HTTP/1.1 101 ") {
		t.Errorf("who waited got %q", head)
	}
}

func TestBadListenerIsRefused(t *testing.T) {
	plain, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(plain)
	local, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(local)
	for fd, want := range map[int]string{plain: "does not listen", local: "not a TCP socket", 1 << 20: "bad file descriptor"} {
		if _, err := New(Config{Listener: fd}, &testHandler{}, slog.New(slog.DiscardHandler), nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}
