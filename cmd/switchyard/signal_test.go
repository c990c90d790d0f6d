package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/switchyard-im/switchyard/cmd/switchyard/config"
)

func TestSameMachine(t *testing.T) {
	for _, c := range []struct {
		from, to string
		same     bool
	}{
		{"127.0.0.1", "127.0.0.1", true}, {"127.0.0.1", "127.0.0.2", true}, {"::1", "::1", true}, {"10.0.0.1", "10.0.0.1", true},
		{"10.0.0.1", "10.0.0.2", false}, {"2001:db8::1", "2001:db8::2", false},
	} {
		if sameMachine(net.ParseIP(c.from), net.ParseIP(c.to)) != c.same {
			t.Errorf("from %s to %s: %v", c.from, c.to, !c.same)
		}
	}
}

// TestSignalFindsNoServer: nothing is signalled that is not a server of this machine.
func TestSignalFindsNoServer(t *testing.T) {
	other, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := other.Addr().String()
	answered := make(chan struct{})
	go func() {
		defer close(answered)
		conn, err := other.Accept()
		if err != nil {
			return
		}
		_, _ = conn.Read(make([]byte, 1<<10)) // an answer that comes before its question is none
		fmt.Fprint(conn, "HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n{\"pid\": -1}")
		conn.Close()
	}()
	if status, _, errOut := command(nil, "signal", "stop", "--admin", address); status != exitFailed || !strings.Contains(errOut, "not the admin address") {
		t.Errorf("another service: %d %s", status, errOut)
	}
	other.Close()
	<-answered
	if status, _, errOut := command(nil, "signal", "stop", "--admin", address); status != exitFailed || !strings.Contains(errOut, "no server answers") {
		t.Errorf("nobody: %d %s", status, errOut)
	}
	_, line := startProcess(t, "echo server ready", "echo", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0")
	admin := line["admin"].(string)
	if status, _, errOut := command(nil, "signal", "drain", "--admin", admin); status != exitFailed || !strings.Contains(errOut, "only be stopped") {
		t.Errorf("an echo server: %d %s", status, errOut)
	}
	get(t, "http://"+admin+"/healthz") // it still runs
	if status, _, errOut := command(nil, "signal", "dance"); status != exitUsage || !strings.Contains(errOut, "stop") {
		t.Errorf("another word: %d %s", status, errOut)
	}
}

// TestUpgradeThatIsNoMore: whoever waits for an upgrade hears at once that the server has ended instead, or began to drain.
func TestUpgradeThatIsNoMore(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, `{"pid": %d, "server_id": "n", "phase": %q}`, os.Getpid(), phaseNames[draining])
	}))
	ended := exec.Command("true")
	if err := ended.Run(); err != nil {
		t.Fatal(err)
	}
	c := signalCmd{Admin: config.Address(server.Listener.Addr().String()), Timeout: patience}
	if err := c.awaitUpgrade(io.Discard, running{PID: os.Getpid()}); err == nil || !strings.Contains(err.Error(), "takes no upgrade any more") {
		t.Errorf("of a server that drains: %v", err)
	}
	server.Close()
	if err := c.awaitUpgrade(io.Discard, running{PID: ended.Process.Pid}); err == nil || !strings.Contains(err.Error(), "has ended") {
		t.Errorf("of a server that has ended: %v", err)
	}
}
