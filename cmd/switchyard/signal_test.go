package main

import (
	"fmt"
	"net"
	"strings"
	"testing"
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
