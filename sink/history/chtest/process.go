package chtest

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// patience bounds the wait for a server that starts; it decides on nothing but a hang.
const patience = 60 * time.Second

// process is a ClickHouse, and its folder, which survives kill.
type process struct {
	program   string
	cache     string // if not "", in the place of the user's, where the library is
	dir       string
	tcp, http port

	// The process, between start and kill.
	cmd   *exec.Cmd
	stdin *os.File // the server ends when this does
}

// newProcess starts a server in a new folder on free ports.
func newProcess(cache string) (*process, error) {
	program, err := build()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "switchyard-clickhouse-")
	if err != nil {
		return nil, fmt.Errorf("chtest: %w", err)
	}
	p := &process{program: program, cache: cache, dir: dir}
	for range 5 { // a port may be taken between freePort and its use
		if p.tcp, err = freePort(); err != nil {
			break
		}
		if p.http, err = freePort(); err != nil {
			break
		}
		if err = p.start(); err == nil || !strings.Contains(err.Error(), "Address already in use") {
			break
		}
	}
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	return p, nil
}

// start runs the server and returns when it serves.
func (p *process) start() error {
	// Files, so that neither the server nor a goroutine that copies for it keeps the test binary from ending.
	stderr, err := os.CreateTemp("", "switchyard-clickhouse-stderr-")
	if err != nil {
		return fmt.Errorf("chtest: %w", err)
	}
	defer func() { _, _ = stderr.Close(), os.Remove(stderr.Name()) }()
	in, stdin, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("chtest: %w", err)
	}
	defer in.Close()
	stdout, out, err := os.Pipe()
	if err != nil {
		return errors.Join(fmt.Errorf("chtest: %w", err), stdin.Close())
	}
	defer stdout.Close()
	p.cmd = exec.Command(p.program, "-dir", p.dir, "-tcp-port", fmt.Sprint(p.tcp), "-http-port", fmt.Sprint(p.http), "-remove")
	p.cmd.Stdin, p.cmd.Stdout, p.cmd.Stderr, p.stdin = in, out, stderr, stdin
	if p.cache != "" {
		p.cmd.Env = append(os.Environ(), "XDG_CACHE_HOME="+p.cache)
	}
	err = p.cmd.Start()
	out.Close()
	if err != nil {
		return errors.Join(fmt.Errorf("chtest: %w", err), stdin.Close())
	}
	if err := awaitReady(stdout); err != nil {
		killed := p.kill()
		text, _ := os.ReadFile(stderr.Name())
		return errors.Join(fmt.Errorf("chtest: no ClickHouse: %w\n%s", err, text), killed)
	}
	return nil
}

// awaitReady returns when the server has told that it serves.
func awaitReady(stdout *os.File) error {
	if err := stdout.SetReadDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	for lines := bufio.NewScanner(stdout); ; {
		switch {
		case lines.Scan() && lines.Text() == "ready":
			return nil
		case lines.Err() != nil:
			return lines.Err()
		case len(lines.Bytes()) == 0:
			return errors.New("the server ended before it was ready")
		}
	}
}

// kill ends the server with SIGKILL and returns when it is gone; if it is gone already, so much the better.
func (p *process) kill() error {
	if p.cmd == nil {
		return nil
	}
	err := p.cmd.Process.Kill()
	if errors.Is(err, os.ErrProcessDone) {
		err = nil
	}
	var exit *exec.ExitError
	if waited := p.cmd.Wait(); !errors.As(waited, &exit) {
		err = errors.Join(err, waited)
	}
	err = errors.Join(err, p.stdin.Close())
	p.cmd = nil
	return err
}

// end kills the server and removes its folder.
func (p *process) end() error {
	return errors.Join(p.kill(), os.RemoveAll(p.dir))
}

// query runs a query over HTTP.
func (p *process) query(query string) (string, error) {
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: patience}
	answer, err := client.Post("http://"+p.http.address(), "text/plain", strings.NewReader(query))
	if err != nil {
		return "", fmt.Errorf("chtest: %w", err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err == nil && answer.StatusCode != http.StatusOK {
		err = errors.New(string(body))
	}
	if err != nil {
		return "", fmt.Errorf("chtest: %s: %w", query, err)
	}
	return strings.TrimSuffix(string(body), "\n"), nil
}

// port is one of 127.0.0.1.
type port int

func (p port) address() string { return fmt.Sprintf("127.0.0.1:%d", int(p)) }

// freePort returns a port that nobody listens on. It is below those that Linux gives to outgoing connections, since one of these would
// take it while the server is down, or even connect to itself on it.
func freePort() (port, error) {
	var err error
	for range 1000 {
		p := port(10_000 + rand.IntN(22_000))
		var l net.Listener
		if l, err = net.Listen("tcp", p.address()); err == nil {
			return p, l.Close()
		}
	}
	return 0, fmt.Errorf("chtest: no free port from 10000 to 31999: %w", err)
}

// root returns the repository's folder.
func root() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("chtest: %w", err)
	}
	for d := dir; ; d = filepath.Dir(d) {
		if _, err := os.Stat(filepath.Join(d, "tools", "clickhouse", "go.mod")); err == nil {
			return d, nil
		}
		if d == filepath.Dir(d) {
			return "", fmt.Errorf("chtest: no folder above %s has tools/clickhouse; run the tests inside the repository", dir)
		}
	}
}
