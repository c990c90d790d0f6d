package spawn

import (
	"context"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestAProcessRunsUntilItIsKilled(t *testing.T) {
	var out strings.Builder
	p, err := Start("sh -c 'echo here; exec sleep 100'", &out)
	if err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(5 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if name, _ := os.ReadFile("/proc/" + strconv.Itoa(p.PID()) + "/comm"); strings.TrimSpace(string(name)) == "sleep" {
			break // the shell has become the command
		}
	}
	if p.Ended() {
		t.Error("the process has ended by itself")
	}
	if err := p.End(context.Background(), syscall.SIGTERM, time.Minute); err != nil || !p.Ended() {
		t.Fatal(err, p.Ended())
	}
	if out.String() != "here\n" {
		t.Errorf("output %q", out.String())
	}
	if _, err := os.Stat("/proc/" + strconv.Itoa(p.PID())); err == nil {
		t.Error("the process is still there")
	}
	if err := p.Kill(); err != nil {
		t.Error("the end of what has ended:", err)
	}
}

// TestAnInterruptIsForTheRun has the terminal's Ctrl-C, which reaches the whole group of processes in front, leave a server alone.
func TestAnInterruptIsForTheRun(t *testing.T) {
	p, err := Start("sleep 100", nil)
	if err != nil {
		t.Fatal(err)
	}
	if group, err := syscall.Getpgid(p.PID()); err != nil || group == syscall.Getpgrp() {
		t.Errorf("the process is in the group %d of this one: %v", group, err)
	}
	if err := p.Kill(); err != nil {
		t.Fatal(err)
	}
}

func TestListening(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p, err := Start("sleep 100", nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Listening(context.Background(), l.Addr().String(), 5*time.Second); err != nil {
		t.Error(err)
	}
	l.Close()
	if err := p.Listening(context.Background(), l.Addr().String(), 20*time.Millisecond); err == nil || !strings.Contains(err.Error(), "nobody listens") {
		t.Error("a closed port listens:", err)
	}
	if err := p.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := p.Listening(context.Background(), l.Addr().String(), time.Minute); err == nil || !strings.Contains(err.Error(), "ended before") {
		t.Error("a server that ended listens:", err)
	}
}

// TestOneThatDoesNotEnd: a process that does not heed a signal is waited for so long, and is there still.
func TestOneThatDoesNotEnd(t *testing.T) {
	p, err := Start(`sh -c 'trap "" TERM; echo ready; while :; do sleep 0.01; done'`, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	time.Sleep(100 * time.Millisecond) // for the trap; a shell without it ends, and the test fails
	err = p.End(context.Background(), syscall.SIGTERM, 50*time.Millisecond)
	if err == nil || !strings.Contains(err.Error(), "has not ended within 50ms") || p.Ended() {
		t.Errorf("it ended %t: %v", p.Ended(), err)
	}
	stopped, cancel := context.WithCancel(context.Background())
	cancel()
	if err := p.End(stopped, syscall.SIGTERM, time.Minute); err == nil || p.Ended() {
		t.Errorf("it ended %t: %v", p.Ended(), err)
	}
	if err := p.Kill(); err != nil || !p.Ended() {
		t.Error(err)
	}
}
