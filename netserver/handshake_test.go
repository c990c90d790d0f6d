package netserver

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"
)

const wanted = "Sec-WebSocket-Protocol: switchyard.v1.msgpack"

var handshakeCases = []struct {
	name    string
	request string
	status  int
	header  string // that the answer must have, as Name: value
	remedy  string // that its body must have
}{
	{"upgrade", upgradeRequest("/v1/ws", wanted), 101, "Sec-Websocket-Protocol: switchyard.v1.msgpack", ""},
	{"json", upgradeRequest("/v1/ws", "Sec-WebSocket-Protocol: chat, switchyard.v1.json"), 101, "Sec-Websocket-Protocol: switchyard.v1.json", ""},
	{"the client's order wins", upgradeRequest("/v1/ws", "Sec-WebSocket-Protocol: switchyard.v1.json, switchyard.v1.msgpack"), 101,
		"Sec-Websocket-Protocol: switchyard.v1.json", ""},
	{"query", upgradeRequest("/v1/ws?access_token=x", wanted), 101, "", ""},
	{"own origin", upgradeRequest("/v1/ws", wanted, "Origin: https://EXAMPLE.com"), 101, "", ""},
	{"listed origin", upgradeRequest("/v1/ws", wanted, "Origin: https://shop.test"), 101, "", ""},
	{"listed subdomain", upgradeRequest("/v1/ws", wanted, "Origin: https://a.b.wild.test"), 101, "", ""},

	{"foreign origin", upgradeRequest("/v1/ws", wanted, "Origin: https://evil.test"), 403, "", "allowed origins"},
	{"opaque origin", upgradeRequest("/v1/ws", wanted, "Origin: null"), 403, "", "allowed origins"},
	{"origin that ends like a listed one", upgradeRequest("/v1/ws", wanted, "Origin: https://evilwild.test"), 403, "", ""},
	{"origin before host", strings.Replace(upgradeRequest("/v1/ws", wanted), "Host:", "Origin: https://evil.test\r\nHost:", 1), 403, "", ""},
	{"path", upgradeRequest("/other", wanted), 404, "", "URL"},
	{"no upgrade", "GET /v1/ws HTTP/1.1\r\nHost: a\r\n\r\n", 426, "Upgrade: websocket", "WebSocket client"},
	{"post", strings.Replace(upgradeRequest("/v1/ws", wanted), "GET", "POST", 1), 405, "Allow: GET", ""},
	{"version 12", strings.Replace(upgradeRequest("/v1/ws", wanted), "Version: 13", "Version: 12", 1), 426, "Sec-Websocket-Version: 13", "13"},
	{"no version", strings.Replace(upgradeRequest("/v1/ws", wanted), "Sec-WebSocket-Version: 13\r\n", "", 1), 426, "Sec-Websocket-Version: 13", "13"},
	{"no key", strings.Replace(upgradeRequest("/v1/ws", wanted), "Sec-WebSocket-Key", "X-Key", 1), 400, "", "Sec-WebSocket-Key"},
	{"short key", strings.Replace(upgradeRequest("/v1/ws", wanted), "ZQ==", "", 1), 400, "", "Sec-WebSocket-Key"},
	{"no host", strings.Replace(upgradeRequest("/v1/ws", wanted), "Host", "X-Host", 1), 400, "", "Host"},
	{"no subprotocol", upgradeRequest("/v1/ws"), 400, "", "switchyard.v1.msgpack or switchyard.v1.json"},
	{"unknown subprotocol", upgradeRequest("/v1/ws", "Sec-WebSocket-Protocol: chat"), 400, "", "switchyard.v1.msgpack"},
	{"body", upgradeRequest("/v1/ws", wanted, "Content-Length: 3"), 400, "", "no body"},
	{"chunked body", upgradeRequest("/v1/ws", wanted, "Transfer-Encoding: chunked"), 400, "", "no body"},
	{"http/1.0", strings.Replace(upgradeRequest("/v1/ws", wanted), "1.1", "1.0", 1), 400, "", "HTTP/1.1"},
	{"header without colon", upgradeRequest("/v1/ws", wanted, "nonsense"), 400, "", ""},
	{"garbage", "hello\r\n\r\n", 400, "", "WebSocket client"},
	{"TLS", "\x16\x03\x01\x02\x00\x01\x00", 400, "", "TLS"},
	{"long header", upgradeRequest("/v1/ws", wanted, "Cookie: "+strings.Repeat("c", 9000)), 431, "", "shorter"},
}

func TestHandshakeAnswers(t *testing.T) {
	s := serve(t, Config{AllowedOrigins: []string{"https://shop.test", "https://*.wild.test"}}, &testHandler{})
	for _, tc := range handshakeCases {
		for _, piece := range []int{1, 61, 1 << 20} {
			if len(tc.request) > 1000 {
				piece = max(piece, 500)
			}
			t.Run(tc.name, func(t *testing.T) {
				c := dial(t, s)
				go writePieces(c, tc.request, piece)
				checkAnswer(t, c.r, tc.status, tc.header, tc.remedy)
			})
		}
	}
}

// writePieces ignores errors: a server that refuses early may have closed.
func writePieces(w io.Writer, s string, piece int) {
	for len(s) > 0 {
		n := min(piece, len(s))
		if _, err := io.WriteString(w, s[:n]); err != nil {
			return
		}
		s = s[n:]
	}
}

func checkAnswer(t *testing.T, r *bufio.Reader, status int, header, remedy string) {
	t.Helper()
	answer, err := http.ReadResponse(r, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != status {
		t.Fatalf("answered %s, want %d", answer.Status, status)
	}
	if name, value, ok := strings.Cut(header, ": "); ok && answer.Header.Get(name) != value {
		t.Fatalf("header %s is %q, want %q", name, answer.Header.Get(name), value)
	}
	if status == 101 {
		return
	}
	body, err := io.ReadAll(answer.Body)
	if err != nil || !strings.Contains(string(body), remedy) || len(body) == 0 {
		t.Fatalf("body %q, %v; want it to name %q", body, err, remedy)
	}
	if _, err := r.ReadByte(); err != io.EOF {
		t.Fatalf("after the answer: %v, want the end of the stream", err)
	}
}

func TestFramesRightBehindTheUpgrade(t *testing.T) {
	s := serve(t, Config{Raw: true}, Echo{})
	for _, split := range []int{0, 10, 165} {
		c := dial(t, s)
		all := append([]byte(upgradeRequest("/")), append(text("first"), text("second")...)...)
		c.send(all[:split])
		c.send(all[split:])
		c.readHead()
		c.expect(ws.OpText, "first")
		c.expect(ws.OpText, "second")
	}
}

func TestRequestIsShownToTheHandler(t *testing.T) {
	type seen struct{ path, host, origin, agent, token, protocol, remote string }
	got := make(chan seen, 1)
	s := serve(t, Config{AllowedOrigins: []string{"*"}}, &testHandler{open: func(c *Conn, r *Request) {
		got <- seen{string(r.Path), string(r.Host), string(r.Origin), string(r.UserAgent), string(r.Token), r.Subprotocol, c.RemoteAddr().String()}
	}})
	for _, tc := range []struct{ uri, header, token string }{
		{"/v1/ws?a=b&access_token=a%2Bb", "X: y", ""}, // a token in a URL ends in the logs of every proxy
		{"/v1/ws?access_token=query", "Authorization: bearer  header ", "header"},
		{"/v1/ws", "Authorization: Basic xyz", ""},
	} {
		c := dial(t, s)
		c.send([]byte(upgradeRequest(tc.uri, wanted, "Origin: https://o.test", "User-Agent: tester", tc.header)))
		c.readHead()
		want := seen{"/v1/ws", "example.com", "https://o.test", "tester", tc.token, protocolMsgpack, c.LocalAddr().String()}
		if g := <-got; g != want {
			t.Errorf("got  %+v\nwant %+v", g, want)
		}
	}
}

func TestServerFullOrNotReady(t *testing.T) {
	ready := make(chan bool, 8)
	s := serve(t, Config{Raw: true, MaxConns: 1}, &testHandler{admit: func(*Request) (time.Duration, bool) { return 2500 * time.Millisecond, <-ready }})
	ask := func(status int, header string) *client {
		c := dial(t, s)
		c.send([]byte(upgradeRequest("/")))
		checkAnswer(t, c.r, status, header, "Try again")
		return c
	}
	ready <- false
	ask(503, "Retry-After: 3")
	ready <- true
	first := ask(101, "")
	ask(503, "Retry-After: 10")
	first.Close()
	eventually(t, "the place is free again", func() bool { return s.shared.open.Load() == 0 })
	ready <- true
	ask(101, "")
}

func TestHandshakeDeadline(t *testing.T) {
	reasons := make(chan Reason, 1)
	s := serve(t, Config{Raw: true, tick: 10 * time.Millisecond, HandshakeTimeout: 50 * time.Millisecond}, &testHandler{
		closed: func(_ *Conn, r Reason) { reasons <- r }})
	c := dial(t, s)
	c.send([]byte("GET / HT"))
	checkAnswer(t, c.r, 408, "", "in time")
	if len(reasons) != 0 {
		t.Fatal("Closed was called without Open")
	}
}

// TestUnfinishedHandshakes holds 10,000 connections that never finish, from a process of its own because of the descriptors, and wants
// the server to serve meanwhile and to be rid of them after the deadline.
func TestUnfinishedHandshakes(t *testing.T) {
	const many = 10_000
	s := serve(t, Config{Raw: true, tick: 50 * time.Millisecond, HandshakeTimeout: 2 * time.Second, LingerTimeout: time.Second}, Echo{})
	cmd := exec.Command(os.Args[0], "-test.run=^TestUnfinishedHandshakesClient$")
	cmd.Env = append(os.Environ(), "NETSERVER_TEST_ADDR="+s.Addr().String(), "NETSERVER_TEST_CONNS="+strconv.Itoa(many))
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	c := open(t, s)
	for range 100 {
		c.send(text("still served"))
		c.expect(ws.OpText, "still served")
	}
	if err := cmd.Wait(); err != nil {
		t.Fatalf("%v: %s", err, out.String())
	}
	eventually(t, "only one connection is left", func() (ok bool) {
		onLoop(t, s.loops[0], func() {
			ok = s.loops[0].live == 1 && s.loops[0].pool.held == 0 && s.loops[0].n.closed[ReasonHandshakeTimeout] == many
		})
		return ok
	})
}

// TestUnfinishedHandshakesClient is the client process of TestUnfinishedHandshakes and does nothing by itself.
func TestUnfinishedHandshakesClient(t *testing.T) {
	address := os.Getenv("NETSERVER_TEST_ADDR")
	n, _ := strconv.Atoi(os.Getenv("NETSERVER_TEST_CONNS"))
	conns := make([]*client, n)
	for i := range conns {
		conns[i] = dialAddress(t, address, byte(2+i%100))
		conns[i].send([]byte("GET / HTTP/1.1\r\nHost: a\r\n")[:1+i%24])
	}
	for _, c := range conns {
		if b, err := io.ReadAll(c); err != nil || !bytes.HasPrefix(b, []byte("HTTP/1.1 408 ")) {
			t.Fatalf("%q, %v", b, err)
		}
	}
}
