package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// patience is how long a test waits for what must come; it never decides on anything but a hang.
const patience = 60 * time.Second

// process is a switchyard that runs.
type process struct {
	t      *testing.T
	cmd    *exec.Cmd
	stdout bytes.Buffer
	ended  chan struct{} // closed after the last line of the log
	ready  chan map[string]any

	mu  sync.Mutex
	log strings.Builder // guarded by mu
}

// startProcess runs a command and waits for the line of its log with this message.
func startProcess(t *testing.T, message string, args ...string) (p *process, line map[string]any) {
	t.Helper()
	return startBinary(t, os.Args[0], message, args...)
}

// startBinary does so with the binary at path.
func startBinary(t *testing.T, path, message string, args ...string) (p *process, line map[string]any) {
	t.Helper()
	p = launch(t, message, exec.Command(path, args...))
	return p, p.awaitReady()
}

// awaitReady waits for the line; again after each upgrade.
func (p *process) awaitReady() map[string]any {
	t := p.t
	t.Helper()
	select {
	case line := <-p.ready:
		return line
	case <-p.ended:
		t.Fatalf("the server ended before it was ready:\n%s", p.text())
	case <-time.After(patience):
		t.Fatalf("the server is not ready after %v:\n%s", patience, p.text())
	}
	return nil
}

// startFailing runs a command that is expected to end by itself.
func startFailing(t *testing.T, args ...string) *process {
	t.Helper()
	return launch(t, "", exec.Command(os.Args[0], args...))
}

func launch(t *testing.T, message string, cmd *exec.Cmd) *process {
	t.Helper()
	p := &process{t: t, cmd: cmd, ended: make(chan struct{}), ready: make(chan map[string]any, 1)}
	p.cmd.Env = append(os.Environ(), asCommand+"=1")
	p.cmd.Stdout = &p.stdout
	stderr, err := p.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go p.follow(stderr, message) // ends with the process
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		<-p.ended
		_ = p.cmd.Wait()
		if t.Failed() {
			t.Logf("the log of the server:\n%s", p.text())
		}
	})
	return p
}

func (p *process) follow(stderr io.Reader, message string) {
	defer close(p.ended)
	for lines := bufio.NewScanner(stderr); lines.Scan(); {
		p.mu.Lock()
		p.log.WriteString(lines.Text() + "\n")
		p.mu.Unlock()
		var line map[string]any
		if json.Unmarshal(lines.Bytes(), &line) == nil && line["msg"] == message {
			p.ready <- line
		}
	}
}

func (p *process) text() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.log.String()
}

// awaitText waits until the log contains it.
func (p *process) awaitText(want string) {
	p.t.Helper()
	for end := time.Now().Add(patience); !strings.Contains(p.text(), want); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			p.t.Fatalf("the log lacks %q", want)
		}
	}
}

// signal sends one and returns the exit status, or the signal that ended the process.
func (p *process) signal(sig syscall.Signal) (status int, by syscall.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(sig); err != nil {
		p.t.Fatal(err)
	}
	return p.wait()
}

func (p *process) wait() (status int, by syscall.Signal) {
	p.t.Helper()
	select {
	case <-p.ended:
	case <-time.After(patience):
		p.t.Fatalf("the server still runs after %v", patience)
	}
	err := p.cmd.Wait()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		p.t.Fatal(err)
	}
	ws := p.cmd.ProcessState.Sys().(syscall.WaitStatus)
	if ws.Signaled() {
		return -1, ws.Signal()
	}
	return ws.ExitStatus(), 0
}

// get asks the admin listener.
func get(t *testing.T, url string) (code int, body string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, "GET", url, nil)
	if err != nil {
		t.Fatal(err)
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	r, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return r.StatusCode, string(b)
}
