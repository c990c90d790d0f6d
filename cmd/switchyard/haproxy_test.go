package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"github.com/switchyard-im/switchyard/cmd/switchyard/config"
	"github.com/switchyard-im/switchyard/frame"
)

// haproxyFile is the configuration that operators start from; the tests run this very file, with the lines that name the machine changed.
const haproxyFile = "../../docs/haproxy.cfg"

// haproxy is one that runs in front of two servers.
type haproxy struct {
	t       *testing.T
	address string // for clients
	tls     *tls.Config
	control string // its control socket

	mu  sync.Mutex
	out bytes.Buffer // guarded by mu
}

// startHAProxy runs it in front of two servers, given as the ports of their listeners for clients and for operators. Sending is
// how the file says that the PROXY header is sent.
func startHAProxy(t *testing.T, sending string, servers [2][2]string) *haproxy {
	t.Helper()
	command, err := exec.LookPath("haproxy")
	if err != nil {
		if command, err = exec.LookPath("/usr/sbin/haproxy"); err != nil {
			t.Fatal("haproxy is not installed; .ci/deps installs it, or: apt-get install -y haproxy")
		}
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0") // handed over, so that nobody takes the port in between
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	socket, err := listener.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	dir := t.TempDir()
	h := &haproxy{t: t, address: listener.Addr().String(), control: filepath.Join(dir, "control")}
	h.tls = certify(t, filepath.Join(dir, "switchyard.pem"))
	file := filepath.Join(dir, "haproxy.cfg")
	h.write(file, dir, sending, servers)
	h.run(command, socket, "-c", "-f", file).wait(t)
	running := h.run(command, socket, "-db", "-f", file)
	t.Cleanup(func() {
		_ = running.cmd.Process.Kill()
		<-running.ended
		if t.Failed() {
			t.Logf("what HAProxy said:\n%s", h.said())
		}
	})
	return h
}

// write changes the lines of the operators' file that name the machine, and how often it checks, so that the test is quick.
func (h *haproxy) write(file, dir, sending string, servers [2][2]string) {
	h.t.Helper()
	text, err := os.ReadFile(haproxyFile)
	if err != nil {
		h.t.Fatal(err)
	}
	for _, change := range [][2]string{
		{"log /dev/log local0", "log stderr format raw local0"},
		{"/run/haproxy/admin.sock", h.control},
		{"maxconn 200000", "maxconn 100"},
		{"bind :443", "bind fd@3"},
		{"/etc/haproxy/switchyard.pem", filepath.Join(dir, "switchyard.pem")},
		{"inter 2s", "inter 50ms"},
		{"slowstart 30s send-proxy-v2", sending}, // no slow start: all is quick here,
		{"sw1 10.0.0.11:8080 port 8081", "sw1 127.0.0.1:" + servers[0][0] + " port " + servers[0][1]},
		{"sw2 10.0.0.12:8080 port 8081", "sw2 127.0.0.1:" + servers[1][0] + " port " + servers[1][1]},
	} {
		if bytes.Count(text, []byte(change[0])) != 1 {
			h.t.Fatalf("%s does not have %q once", haproxyFile, change[0])
		}
		text = bytes.Replace(text, []byte(change[0]), []byte(change[1]), 1)
	}
	if err := os.WriteFile(file, text, 0o600); err != nil {
		h.t.Fatal(err)
	}
}

// haproxyRun is one run of the program.
type haproxyRun struct {
	cmd   *exec.Cmd
	ended chan struct{} // closed when it has ended and err is set
	err   error
	proxy *haproxy
}

func (h *haproxy) run(command string, socket *os.File, args ...string) *haproxyRun {
	h.t.Helper()
	r := &haproxyRun{cmd: exec.Command(command, args...), ended: make(chan struct{}), proxy: h}
	r.cmd.ExtraFiles = []*os.File{socket} // descriptor 3
	r.cmd.Stdout, r.cmd.Stderr = h, h
	r.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := r.cmd.Start(); err != nil {
		h.t.Fatal(err)
	}
	go func() { // ends with the program
		defer close(r.ended)
		r.err = r.cmd.Wait()
	}()
	return r
}

// wait fails the test unless the program ends well, as the check of a good configuration does.
func (r *haproxyRun) wait(t *testing.T) {
	t.Helper()
	<-r.ended
	if r.err != nil || strings.Contains(r.proxy.said(), "[WARNING]") {
		t.Fatalf("%v: %v:\n%s", r.cmd.Args, r.err, r.proxy.said())
	}
}

// Write keeps what HAProxy says.
func (h *haproxy) Write(p []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.out.Write(p)
}

func (h *haproxy) said() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.out.String()
}

// certify makes a certificate for the loopback address, writes it with its key as HAProxy wants them, and returns what its clients need.
func certify(t *testing.T, file string) *tls.Config {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certificate := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	if err := os.WriteFile(file, append(certificate, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})...), 0o600); err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(certificate)
	return &tls.Config{RootCAs: roots}
}

func (h *haproxy) url() string { return "wss://" + h.address + "/v1/ws" }

// dial connects from an address that is not the proxy's.
func (h *haproxy) dial(ctx context.Context, network, address string) (net.Conn, error) {
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 77)}}
	return d.DialContext(ctx, network, address)
}

// upgrade opens a WebSocket through HAProxy and returns it with the client's own address.
func (h *haproxy) upgrade(ctx context.Context) (conn net.Conn, local string, err error) {
	d := ws.Dialer{Protocols: []string{"switchyard.v1.msgpack"}, TLSConfig: h.tls, NetDial: func(ctx context.Context, network, address string) (net.Conn, error) {
		c, err := h.dial(ctx, network, address)
		if err == nil {
			local = c.LocalAddr().String()
		}
		return c, err
	}}
	conn, _, _, err = d.Dial(ctx, h.url())
	return conn, local, err
}

// command sends a line to the control socket.
func (h *haproxy) command(line string) string {
	h.t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		conn, err := net.Dial("unix", h.control)
		if err != nil && time.Now().Before(deadline) {
			continue // it has just started
		}
		if err != nil {
			h.t.Fatal(err)
		}
		defer conn.Close()
		if _, err := io.WriteString(conn, line+"\n"); err != nil {
			h.t.Fatal(err)
		}
		answer, err := io.ReadAll(conn)
		if err != nil {
			h.t.Fatal(err)
		}
		return string(answer)
	}
}

// statistics are the columns that HAProxy has about a server.
func (h *haproxy) statistics(server string) []string {
	h.t.Helper()
	for line := range strings.Lines(h.command("show stat switchyard 4 -1")) {
		if f := strings.Split(line, ","); len(f) > 38 && f[1] == server {
			return f
		}
	}
	h.t.Fatalf("HAProxy does not know %s", server)
	return nil
}

// sessions is how many connections HAProxy gave to a server, from its start.
func (h *haproxy) sessions(server string) int { return h.statistic(server, 7) }

// redispatched is how many connections a server did not take and another one got.
func (h *haproxy) redispatched(server string) int { return h.statistic(server, 16) }

func (h *haproxy) statistic(server string, column int) int {
	h.t.Helper()
	n, err := strconv.Atoi(h.statistics(server)[column])
	if err != nil {
		h.t.Fatal(err)
	}
	return n
}

// state waits until HAProxy thinks so of a server: UP or DOWN, and what the last check found.
func (h *haproxy) state(server, status, check string) {
	h.t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		f := h.statistics(server)
		if f[17] == status && f[36]+" "+f[37] == check {
			return
		}
		if time.Now().After(deadline) {
			h.t.Fatalf("%s is not %s after the check %s: %v", server, status, check, f)
		}
	}
}

// behind starts two servers that take connections from the proxy only, and the proxy in front of them.
func behind(t *testing.T, sending string) (front *haproxy, servers [2]*installation, processes [2]*process) {
	t.Helper()
	var ports [2][2]string
	for n := range servers {
		servers[n] = newInstallation(t, "--log-level", "debug", "--set", "server.proxy_protocol=required", "--set", "server.proxy_networks=127.0.0.1",
			"--set", "server.lame_duck_delay=1h")
		p, base := servers[n].start()
		processes[n] = p
		_, ports[n][0], _ = net.SplitHostPort(servers[n].listen)
		_, ports[n][1], _ = net.SplitHostPort(strings.TrimPrefix(base, "http://"))
	}
	front = startHAProxy(t, sending, ports)
	servers[0].front, servers[1].front = front, front
	return front, servers, processes
}

// TestBehindHAProxy: a visitor and an agent talk over wss through HAProxy, and the server sees the client's address. When it drains, nobody
// is refused: before HAProxy knows it serves who comes, afterwards new clients go elsewhere, and it keeps those it has.
func TestBehindHAProxy(t *testing.T) {
	front, servers, processes := behind(t, "send-proxy-v2")
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	front.state("sw1", "UP", "L7OK 200")
	front.state("sw2", "UP", "L7OK 200")

	front.command("set server switchyard/sw2 state maint") // both sides must meet on one server
	converse(ctx, t, servers[0])
	front.seen(ctx, processes[0])
	stays, _, err := front.upgrade(ctx)
	if err != nil {
		t.Fatal(err)
	}
	client := servers[0].wrap(stays, nil)
	front.command("set server switchyard/sw2 state ready")
	front.state("sw2", "UP", "L7OK 200")

	if err := processes[0].cmd.Process.Signal(signalDrain); err != nil {
		t.Fatal(err)
	}
	front.comeAndGo(ctx, 20)
	front.state("sw1", "DOWN", "L7STS 503")
	before := front.sessions("sw1")
	front.comeAndGo(ctx, 20)
	if after := front.sessions("sw1"); after != before {
		t.Errorf("%d new clients were sent to the server that drains", after-before)
	}
	client.frames((&frame.Hello{Ref: 1, Token: servers[0].token("ann", frame.RoleVisitor, time.Hour)}).Append(nil))
	client.expect(frame.TypeWelcome)
	if status, by := processes[0].signal(signalStop); status != exitOK {
		t.Errorf("status %d, signal %v", status, by)
	}
}

// comeAndGo opens and closes connections; none may be refused.
func (h *haproxy) comeAndGo(ctx context.Context, n int) {
	h.t.Helper()
	for range n {
		conn, _, err := h.upgrade(ctx)
		if err != nil {
			h.t.Fatal(err)
		}
		conn.Close()
	}
}

// TestHAProxyFindsAnotherServer: clients notice nothing of a server that has gone before a check has found out.
func TestHAProxyFindsAnotherServer(t *testing.T) {
	front, _, processes := behind(t, "send-proxy-v2")
	front.state("sw1", "UP", "L7OK 200")
	front.state("sw2", "UP", "L7OK 200")
	front.command("disable health switchyard/sw1")
	processes[0].signal(syscall.SIGKILL)
	front.comeAndGo(t.Context(), 10)
	if front.redispatched("sw1") == 0 {
		t.Error("no client was sent to the server that is gone first")
	}
}

// TestHAProxyHeaders: every way in which HAProxy says who the client is, and what happens to those who come past it.
func TestHAProxyHeaders(t *testing.T) {
	for name, sending := range map[string]string{"v1": "send-proxy", "v2": "send-proxy-v2 proxy-v2-options crc32c,ssl,cert-cn,ssl-cipher,authority"} {
		t.Run(name, func(t *testing.T) {
			front, servers, processes := behind(t, sending)
			front.command("set server switchyard/sw2 state maint")
			front.state("sw1", "UP", "L7OK 200")
			front.seen(t.Context(), processes[0])
			for from, want := range map[byte]int{1: 400, 2: 403} {
				if _, got := past(t, servers[0].listen, from, ""); got != want {
					t.Errorf("without a header, from 127.0.0.%d: %d, want %d", from, got, want)
				}
			}
		})
	}
}

// past asks a server for an upgrade, not through its proxy, and returns the status of the answer. The first bytes are given.
func past(t *testing.T, address string, from byte, first string) (conn net.Conn, status int) {
	t.Helper()
	d := ws.Dialer{Protocols: []string{"switchyard.v1.msgpack"}, Timeout: patience, NetDial: func(ctx context.Context, network, address string) (net.Conn, error) {
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, from)}}
		c, err := d.DialContext(ctx, network, address)
		if err == nil {
			_, err = io.WriteString(c, first)
		}
		return c, err
	}}
	conn, _, _, err := d.Dial(t.Context(), "ws://"+address+"/v1/ws")
	if refused, ok := errors.AsType[ws.StatusError](err); ok {
		return nil, int(refused)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn, 101
}

// seen opens and closes a connection, and waits until the server's log names the client's own address.
func (h *haproxy) seen(ctx context.Context, p *process) {
	h.t.Helper()
	conn, local, err := h.upgrade(ctx)
	if err != nil {
		h.t.Fatal(err)
	}
	conn.Close()
	for deadline := time.Now().Add(patience); !strings.Contains(p.text(), `"peer":"`+local+`"`); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			h.t.Fatalf("the server does not know the client's address %s", local)
		}
	}
}

// TestHAProxyFileMatchesTheDefaults: HAProxy must not take a quiet connection for a dead one before the server does, must not wait for a
// request that the server has given up, and must know of a drain before the server takes no more connections.
func TestHAProxyFileMatchesTheDefaults(t *testing.T) {
	text, err := os.ReadFile(haproxyFile)
	if err != nil {
		t.Fatal(err)
	}
	words := strings.Fields(regexp.MustCompile(`#.*`).ReplaceAllString(string(text), ""))
	after := func(name ...string) string {
		for i := range words {
			if end := i + len(name); end < len(words) && slices.Equal(words[i:end], name) {
				return words[end]
			}
		}
		t.Fatalf("%s has no %v", haproxyFile, name)
		return ""
	}
	duration := func(name ...string) time.Duration {
		d, err := time.ParseDuration(after(name...))
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	def := config.Default()
	if tunnel, silent := duration("timeout", "tunnel"), time.Duration(def.Websocket.CloseAfter); tunnel < 2*silent {
		t.Errorf("timeout tunnel is %v, and the server closes a silent connection after %v", tunnel, silent)
	}
	if request, server := duration("timeout", "http-request"), time.Duration(def.Server.HandshakeTimeout); request > server {
		t.Errorf("timeout http-request is %v, and the server waits %v", request, server)
	}
	fall, err := strconv.Atoi(after("fall"))
	if err != nil {
		t.Fatal(err)
	}
	if known, delay := time.Duration(fall)*duration("check", "inter"), time.Duration(def.Server.LameDuckDelay); 2*known > delay {
		t.Errorf("HAProxy knows of a drain after %v, and the server takes connections for %v", known, delay)
	}
}
