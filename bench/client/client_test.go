package client

import (
	"bufio"
	"bytes"
	"crypto/sha1"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// script is a server that does what a test says with each connection. Accepted connections are closed when the script returns.
func script(t *testing.T, serve func(c net.Conn, request *http.Request)) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var work sync.WaitGroup
	work.Go(func() {
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			work.Go(func() {
				defer c.Close()
				if request, err := http.ReadRequest(bufio.NewReader(c)); err == nil {
					serve(c, request)
				}
			})
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		work.Wait()
	})
	return "ws://" + listener.Addr().String() + "/path"
}

func switching(r *http.Request) string {
	sum := sha1.Sum([]byte(r.Header.Get("Sec-WebSocket-Key") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	answer := "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: " +
		base64.StdEncoding.EncodeToString(sum[:]) + "\r\n"
	if p := r.Header.Get("Sec-WebSocket-Protocol"); p != "" {
		answer += "Sec-WebSocket-Protocol: " + p + "\r\n"
	}
	return answer + "\r\n"
}

// recorder is a handler that keeps what happens and says when the connection is closed.
type recorder struct {
	conn     *Conn
	opened   int
	messages []string
	closed   chan error
	onFlush  func()
	onMsg    func()
}

func (r *recorder) Opened() {
	r.opened++
	r.conn.Wake()
}
func (r *recorder) Message(op ws.OpCode, p []byte) {
	r.messages = append(r.messages, fmt.Sprintf("%d:%s", op, p))
	if r.onMsg != nil {
		r.onMsg()
	}
}
func (r *recorder) Flush() {
	if r.onFlush != nil {
		r.onFlush()
	}
}
func (r *recorder) Closed(err error) { r.closed <- err }

// dial connects a recorder, waits until it is closed and returns it with the reason.
func dial(t *testing.T, url, protocol string, prepare func(*recorder)) (*recorder, error) {
	t.Helper()
	target, err := ParseTarget(url, protocol)
	if err != nil {
		t.Fatal(err)
	}
	fleet, err := NewFleet(1)
	if err != nil {
		t.Fatal(err)
	}
	r := &recorder{closed: make(chan error, 1)}
	fleet.Each(func(_ int, l *Loop) {
		r.conn = l.NewConn(target, target.SourceFor(0, 1000), r)
		if prepare != nil {
			prepare(r)
		}
		r.conn.Dial()
	})
	reason := <-r.closed
	if err := fleet.Stop(); err != nil {
		t.Fatal(err)
	}
	return r, reason
}

func frames(fs ...ws.Frame) []byte {
	var b bytes.Buffer
	for _, f := range fs {
		ws.MustWriteFrame(&b, f)
	}
	return b.Bytes()
}

func text(s string) ws.Frame        { return ws.NewTextFrame([]byte(s)) }
func binaryFrame(s string) ws.Frame { return ws.NewBinaryFrame([]byte(s)) }

// TestMessagesInPieces sends the upgrade's answer and several frames in pieces of every size.
func TestMessagesInPieces(t *testing.T) {
	long := strings.Repeat("y", 70_000)
	stream := frames(text("one"), binaryFrame(""), ws.NewPingFrame([]byte("?")), text(long[:200]),
		ws.NewFrame(ws.OpText, false, []byte("fr")), ws.NewPongFrame(nil), ws.NewFrame(ws.OpContinuation, false, []byte("ag")),
		ws.NewPingFrame(nil), ws.NewFrame(ws.OpContinuation, true, []byte("ment")), binaryFrame(long),
		ws.NewCloseFrame(ws.NewCloseFrameBody(4001, "slow")))
	want := []string{"1:one", "2:", "1:" + long[:200], "1:fragment", "2:" + long}
	for _, piece := range []int{1, 2, 3, 100, 4096, 1 << 20} {
		url := script(t, func(c net.Conn, r *http.Request) {
			all := append([]byte(switching(r)), stream...)
			for len(all) > 0 {
				n := min(piece, len(all))
				if piece < 100 && len(all) > 500 && len(all) < 69_000 {
					n = 40_000 // the middle of the long message in one go
					n = min(n, len(all)-400)
				}
				if _, err := c.Write(all[:n]); err != nil {
					return
				}
				all = all[n:]
			}
			_, _ = io.Copy(io.Discard, c)
		})
		r, reason := dial(t, url, "p", nil)
		var closed *CloseError
		if !errors.As(reason, &closed) || closed.Code != 4001 || closed.Reason != "slow" {
			t.Fatalf("pieces of %d: %v", piece, reason)
		}
		if strings.Join(r.messages, "|") != strings.Join(want, "|") || r.opened != 1 {
			t.Fatalf("pieces of %d: %d messages, opened %d times", piece, len(r.messages), r.opened)
		}
	}
}

func TestPingsAndCloseAreAnswered(t *testing.T) {
	got := make(chan string, 2)
	url := script(t, func(c net.Conn, r *http.Request) {
		_, _ = c.Write(append([]byte(switching(r)), frames(ws.NewPingFrame([]byte("hi")), ws.NewCloseFrame(ws.NewCloseFrameBody(1001, "")))...))
		for range 2 {
			//lint:ignore SA1019 the peer is this test, so the length it declares can be trusted
			f, err := ws.ReadFrame(c)
			if err != nil || !f.Header.Masked {
				t.Errorf("%+v, %v", f.Header, err)
				return
			}
			f = ws.UnmaskFrame(f)
			got <- fmt.Sprintf("%d:%x", f.Header.OpCode, f.Payload)
		}
	})
	_, reason := dial(t, url, "", nil)
	if pong, closing := <-got, <-got; pong != "10:6869" || closing != "8:03e9" {
		t.Errorf("%s, %s, %v", pong, closing, reason)
	}
}

func TestWhatBreaksTheProtocolClosesTheConnection(t *testing.T) {
	masked := frames(ws.MaskFrame(text("x")))
	for name, bytes := range map[string][]byte{
		"a mask":                      masked,
		"a reserved bit":              {0xc1, 0},
		"a reserved opcode":           {0x83, 0},
		"a long control frame":        {0x89, 126, 0, 126},
		"a fragmented control frame":  {0x09, 0},
		"a continuation of nothing":   {0x80, 0},
		"a message inside of another": append(frames(ws.NewFrame(ws.OpText, false, []byte("a"))), frames(text("b"))...),
	} {
		url := script(t, func(c net.Conn, r *http.Request) {
			_, _ = c.Write(append([]byte(switching(r)), bytes...))
			_, _ = io.Copy(io.Discard, c)
		})
		if _, reason := dial(t, url, "", nil); !errors.Is(reason, ErrProtocol) {
			t.Errorf("%s: %v", name, reason)
		}
	}
}

func TestALengthBeyondTheLimitIsRefusedBeforeItArrives(t *testing.T) {
	for _, header := range [][]byte{{0x82, 127, 0x80, 0, 0, 0, 0, 0, 0, 0}, {0x82, 127, 0, 0, 0, 0, 0, 0x10, 0, 1}} {
		url := script(t, func(c net.Conn, r *http.Request) {
			_, _ = c.Write(append([]byte(switching(r)), header...))
			_, _ = io.Copy(io.Discard, c)
		})
		if _, reason := dial(t, url, "", nil); !strings.Contains(reason.Error(), "the limit is 1048576") {
			t.Error(reason)
		}
	}
}

func TestRefusedUpgrades(t *testing.T) {
	for answer, check := range map[string]func(error) bool{
		"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 7\r\nContent-Length: 9\r\n\r\ndraining\n": func(err error) bool {
			var e *UpgradeError
			return errors.As(err, &e) && e.Status == 503 && e.RetryAfter == 7*time.Second && e.Body == "draining"
		},
		"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n": func(err error) bool {
			var e *UpgradeError
			return errors.As(err, &e) && e.Status == 404
		},
		"HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: wrong\r\n\r\n": func(err error) bool { return errors.Is(err, ErrProtocol) },
		"SSH-2.0-OpenSSH\r\n\r\n":          func(err error) bool { return errors.Is(err, ErrProtocol) },
		strings.Repeat("x", maxResponse+1): func(err error) bool { return errors.Is(err, ErrProtocol) },
		"":                                 func(err error) bool { return errors.Is(err, io.EOF) },
	} {
		url := script(t, func(c net.Conn, _ *http.Request) {
			_, _ = io.WriteString(c, answer)
			if answer != "" {
				_, _ = io.Copy(io.Discard, c)
			}
		})
		if _, reason := dial(t, url, "p", nil); !check(reason) {
			t.Errorf("%.40q: %v", answer, reason)
		}
	}
}

func TestAnotherSubprotocolIsRefused(t *testing.T) {
	url := script(t, func(c net.Conn, r *http.Request) {
		r.Header.Set("Sec-WebSocket-Protocol", "other")
		_, _ = io.WriteString(c, switching(r))
		_, _ = io.Copy(io.Discard, c)
	})
	if _, reason := dial(t, url, "p", nil); !errors.Is(reason, ErrProtocol) {
		t.Error(reason)
	}
}

func TestNobodyListens(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = listener.Close()
	if _, reason := dial(t, "ws://"+listener.Addr().String(), "", nil); !errors.Is(reason, syscall.ECONNREFUSED) {
		t.Error(reason)
	}
}

// TestAServerThatReadsSlowly gets everything, in order, though the kernel does not take it at once.
func TestAServerThatReadsSlowly(t *testing.T) {
	const messages, size = 60, 50_000
	url := script(t, func(c net.Conn, r *http.Request) {
		_ = c.(*net.TCPConn).SetReadBuffer(256 << 10)
		_, _ = io.WriteString(c, switching(r))
		time.Sleep(50 * time.Millisecond) // lets the client run into the full socket, which no result depends on
		for i := range messages {
			//lint:ignore SA1019 the peer is this test, so the length it declares can be trusted
			f, err := ws.ReadFrame(c)
			if err != nil || len(f.Payload) != size {
				t.Errorf("message %d: %d bytes, %v", i, len(f.Payload), err)
				return
			}
			if f = ws.UnmaskFrame(f); f.Payload[0] != byte(i) || f.Payload[size-1] != byte(i) {
				t.Errorf("message %d has the wrong bytes", i)
			}
		}
	})
	sent := 0
	_, reason := dial(t, url, "", func(r *recorder) {
		r.onFlush = func() {
			for range 7 { // more than one flush, each after the one before went out
				if sent < messages {
					r.conn.End(append(r.conn.Begin(ws.OpBinary), bytes.Repeat([]byte{byte(sent)}, size)...))
					sent++
					r.conn.Wake()
				}
			}
		}
	})
	if !errors.Is(reason, io.EOF) || sent != messages {
		t.Error(sent, reason)
	}
}

func TestAServerThatDoesNotReadIsGivenUp(t *testing.T) {
	stop := make(chan struct{})
	url := script(t, func(c net.Conn, r *http.Request) {
		_, _ = io.WriteString(c, switching(r))
		<-stop
	})
	_, reason := dial(t, url, "", func(r *recorder) {
		r.onFlush = func() {
			for range 20 {
				r.conn.End(append(r.conn.Begin(ws.OpBinary), make([]byte, maxMessage)...))
			}
		}
	})
	close(stop)
	if !strings.Contains(reason.Error(), "does not read") {
		t.Error(reason)
	}
}

// TestDiallingAgain dials more often than dials are allowed at once, and again from Closed and after Close.
func TestDiallingAgain(t *testing.T) {
	url := script(t, func(c net.Conn, r *http.Request) { _, _ = io.WriteString(c, switching(r)) })
	target, err := ParseTarget(url, "")
	if err != nil {
		t.Fatal(err)
	}
	fleet, err := NewFleet(2)
	if err != nil {
		t.Fatal(err)
	}
	const conns, rounds = 2 * dialsAtOnce, 3
	var done sync.WaitGroup
	done.Add(conns)
	fleet.Each(func(i int, l *Loop) {
		for n := range conns / 2 {
			r := &again{rounds: rounds, done: &done}
			r.conn = l.NewConn(target, target.SourceFor(n, 100), r)
			r.conn.Dial()
		}
	})
	done.Wait()
	if err := fleet.Stop(); err != nil {
		t.Fatal(err)
	}
}

// again dials again until it was opened and closed often enough; every other time it closes the connection itself.
type again struct {
	conn   *Conn
	rounds int
	opened int
	done   *sync.WaitGroup
}

func (a *again) Opened() {
	a.opened++
	if a.opened%2 == 0 {
		a.conn.Close(ws.StatusNormalClosure)
		a.next()
	}
}
func (a *again) Message(ws.OpCode, []byte) {}
func (a *again) Flush()                    {}
func (a *again) Closed(error)              { a.next() }

func (a *again) next() {
	if a.rounds--; a.rounds == 0 {
		a.done.Done()
	} else if a.rounds > 0 {
		a.conn.Dial()
	}
}

func TestTargets(t *testing.T) {
	for _, bad := range []string{"", "http://x/", "wss://127.0.0.1/", "ws:///", "ws://127.0.0.1:http_/", "ws://name.invalid/", ":"} {
		if _, err := ParseTarget(bad, ""); err == nil {
			t.Errorf("%q was accepted", bad)
		}
	}
	local, err := ParseTarget("ws://127.0.0.1", "")
	if err != nil || local.Addr().Port() != 80 {
		t.Fatal(local, err)
	}
	if got := local.SourceFor(0, 10).String() + " " + local.SourceFor(25, 10).String() + " " + local.SourceFor(2600, 10).String(); got != "127.0.0.2 127.0.0.4 127.0.1.12" {
		t.Error(got)
	}
	remote, err := ParseTarget("ws://192.0.2.1:8080/x?y=1", "p")
	if err != nil || remote.SourceFor(0, 10).IsValid() || !bytes.Contains(remote.request, []byte("GET /x?y=1 HTTP/1.1\r\nHost: 192.0.2.1:8080\r\n")) {
		t.Error(remote, err)
	}
}

func TestDescriptorsAreCheckedBefore(t *testing.T) {
	if err := CheckDescriptors(1); err != nil {
		t.Error(err)
	}
	if err := CheckDescriptors(1 << 40); err == nil || !strings.Contains(err.Error(), "ulimit -n") {
		t.Error(err)
	}
}

func TestPortsAreCheckedBefore(t *testing.T) {
	local, err := ParseTarget("ws://127.0.0.1:80/", "")
	if err != nil {
		t.Fatal(err)
	}
	remote, err := ParseTarget("ws://192.0.2.1:80/", "")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		target           *Target
		conns, perSource int
		say              string
	}{
		{local, 1_000_000, 4000, ""},
		{local, 1_000_000, 5001, "on each source address"},
		{local, 5000, 9000, ""},
		{remote, 5000, 1, ""},
		{remote, 5001, 1, "other machines"},
	} {
		err := c.target.checkPorts(c.conns, c.perSource, 5000)
		if (err == nil) != (c.say == "") || err != nil && (!errors.Is(err, ErrNoRoom) || !strings.Contains(err.Error(), c.say) || !strings.Contains(err.Error(), "ip_local_port_range")) {
			t.Errorf("%d connections to %s, %d each: %v", c.conns, c.target.Addr(), c.perSource, err)
		}
	}
	if err := remote.CheckPorts(1, 1); err != nil {
		t.Error(err)
	}
	if err := remote.CheckPorts(65536, 1); !errors.Is(err, ErrNoRoom) {
		t.Error(err)
	}
}

func TestPostAfterTheEndIsHarmless(t *testing.T) {
	fleet, err := NewFleet(1)
	if err != nil {
		t.Fatal(err)
	}
	if err := fleet.Stop(); err != nil {
		t.Fatal(err)
	}
	fleet.Loops[0].Post(func() { t.Error("ran") })
}
