package netserver

import (
	"bytes"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gobwas/ws"
)

// proxied is a configuration in which 127.0.0.1 is a proxy.
func proxied(mode ProxyMode) Config {
	return Config{Raw: true, ProxyProtocol: mode, ProxyNetworks: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("127.0.0.1/32")}}
}

// TestProxiedClients: the handler sees the client that the header names, however the bytes come, and the frames right behind the
// request are read.
func TestProxiedClients(t *testing.T) {
	seen := make(chan [2]netip.AddrPort, 1)
	s := serve(t, proxied(ProxyMixed), &testHandler{
		open:    func(c *Conn, r *Request) { seen <- [2]netip.AddrPort{r.RemoteAddr, c.RemoteAddr()} },
		message: func(c *Conn, p []byte) error { c.WriteMessage(true, p); return nil },
	})
	for _, tc := range proxyCases {
		if tc.err != nil {
			continue
		}
		stream := append(bytes.Clone(tc.header), upgradeRequest("/ws")...)
		stream = append(stream, text("first")...)
		for _, piece := range []int{1, len(tc.header) / 2, len(tc.header), len(tc.header) + 1, len(stream)} {
			t.Run(tc.name, func(t *testing.T) {
				c := dial(t, s)
				want := c.LocalAddr().String()
				if tc.client != "" {
					a := netip.MustParseAddrPort(tc.client)
					want = netip.AddrPortFrom(a.Addr().Unmap(), a.Port()).String()
				}
				go writePieces(c, string(stream), piece)
				checkAnswer(t, c.r, 101, "", "")
				c.expect(ws.OpText, "first")
				if got := <-seen; got[0].String() != want || got[1] != got[0] {
					t.Errorf("the handler sees %v, want %s", got, want)
				}
				c.Close()
			})
		}
	}
}

// TestIdleProxiedConnectionHoldsNothing: what was gathered for the header is given back.
func TestIdleProxiedConnectionHoldsNothing(t *testing.T) {
	cfg := proxied(ProxyRequired)
	cfg.ProxyNetworks = append(cfg.ProxyNetworks, netip.MustParsePrefix("::/128")) // the pair's address
	l := stoppedLoop(t, cfg, Echo{})
	c := pair(t, l)
	for _, b := range append(bytes.Clone(proxyV2(1, proxyTCP6, block6)), upgradeRequest("/ws")...) {
		c.turn([]byte{b})
	}
	if c.state != stateOpen || c.in != nil || l.pool.held != 0 || c.headerDue || l.n.proxied != 1 {
		t.Errorf("state %d, input %v, %d bytes held, header due %v, %d proxied", c.state, c.in, l.pool.held, c.headerDue, l.n.proxied)
	}
	if err := l.check(); err != nil {
		t.Error(err)
	}
}

// logbook keeps the log.
type logbook struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (k *logbook) Write(p []byte) (int, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.b.Write(p)
}

func (k *logbook) text() string {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.b.String()
}

// TestProxyRefusals: who may not begin as it does gets an answer that names the remedy, is counted, and is named in the log.
func TestProxyRefusals(t *testing.T) {
	header := string(proxyV2(1, proxyTCP4, block4))
	const line = "PROXY TCP4 1.2.3.4 1.2.3.4 1 2\r\n"
	request := upgradeRequest("/ws")
	for _, tc := range []struct {
		name   string
		mode   ProxyMode
		from   byte // 127.0.0.from; 1 is the proxy
		sent   string
		status int
		remedy string
		reason Reason
		log    string
	}{
		{"no header from a proxy", ProxyMixed, 1, request, 400, "must send a PROXY", ReasonProxyHeader, "send-proxy-v2"},
		{"no header where all need one", ProxyRequired, 1, request, 400, "must send a PROXY", ReasonProxyHeader, "send-proxy-v2"},
		{"TLS from a proxy", ProxyMixed, 1, "\x16\x03\x01\x02\x00", 400, "must send a PROXY", ReasonProxyHeader, errProxyMissing.Error()},
		{"malformed header", ProxyMixed, 1, "PROXY TCP4 1.2.3.4\r\n", 400, "must send a PROXY", ReasonProxyHeader, errProxyLine.Error()},
		{"two headers", ProxyMixed, 1, header + line + request, 400, "takes no PROXY", ReasonProxyHeader, "peer=192.0.2.1:56324"},
		{"line from a client", ProxyMixed, 2, line + request, 400, "server.proxy_networks", ReasonProxyHeader, "peer=127.0.0.2:"},
		{"binary header from a client", ProxyMixed, 2, header + request, 400, "server.proxy_networks", ReasonProxyHeader, "add its address"},
		{"line where it is off", ProxyOff, 1, line + request, 400, "server.proxy_networks", ReasonProxyHeader, "server.proxy_protocol"},
		{"binary header where it is off", ProxyOff, 1, header + request, 400, "server.proxy_networks", ReasonProxyHeader, "server.proxy_protocol"},
		{"client past the proxies", ProxyRequired, 2, request, 403, "public address", ReasonDirect, "to mixed"},
		{"client past the proxies, with a header", ProxyRequired, 2, header + request, 403, "public address", ReasonDirect, "peer=127.0.0.2:"},
		{"client beside the proxies", ProxyMixed, 2, request, 101, "", reasonCount, ""},
		{"no proxies", ProxyOff, 1, request, 101, "", reasonCount, ""},
	} {
		for _, piece := range []int{1, 1 << 20} {
			t.Run(tc.name, func(t *testing.T) {
				s := serve(t, proxied(tc.mode), Echo{})
				log := new(logbook)
				onLoop(t, s.loops[0], func() { s.loops[0].log = slog.New(slog.NewTextHandler(log, nil)) })
				c := dialAddress(t, s.Addr().String(), tc.from)
				go writePieces(c, tc.sent, piece)
				checkAnswer(t, c.r, tc.status, "", tc.remedy)
				onLoop(t, s.loops[0], func() {
					for r, n := range s.loops[0].n.closed {
						if want := Reason(r) == tc.reason; want != (n == 1) {
							t.Errorf("%d closed for %v", n, Reason(r))
						}
					}
				})
				if !strings.Contains(log.text(), tc.log) || tc.log == "" && log.text() != "" {
					t.Errorf("the log is %q, want %q in it", log.text(), tc.log)
				}
			})
		}
	}
}

// TestProxyHeaderDeadline: the time for the upgrade request includes the header.
func TestProxyHeaderDeadline(t *testing.T) {
	cfg := proxied(ProxyMixed)
	cfg.tick, cfg.HandshakeTimeout, cfg.LingerTimeout = 10*time.Millisecond, 50*time.Millisecond, 50*time.Millisecond
	s := serve(t, cfg, Echo{})
	for _, sent := range []string{"", "PROXY TCP4 1.2", string(proxyV2(1, proxyTCP4, block4)), string(proxyV2(1, proxyTCP4, block4)[:20])} {
		c := dial(t, s)
		c.send([]byte(sent))
		checkAnswer(t, c.r, 408, "", "in time")
	}
	eventually(t, "what was held is released", func() (ok bool) {
		onLoop(t, s.loops[0], func() { ok = s.loops[0].live == 0 && s.loops[0].pool.held == 0 })
		return ok
	})
}

// TestProxyHeaderIsBounded: a header that is declared longer than a request may be is refused before it is held.
func TestProxyHeaderIsBounded(t *testing.T) {
	cfg := proxied(ProxyMixed)
	cfg.MaxHeader = 1 << 10
	s := serve(t, cfg, Echo{})
	fits := dial(t, s)
	fits.send(append(proxyV2(0, 0, make([]byte, cfg.MaxHeader-proxyV2Fixed)), upgradeRequest("/ws")...))
	checkAnswer(t, fits.r, 101, "", "")
	c := dial(t, s)
	c.send(proxyV2(0, 0, make([]byte, cfg.MaxHeader))[:proxyV2Fixed])
	checkAnswer(t, c.r, 400, "", "PROXY")
}

// TestProxyTroubleDoesNotFloodTheLog: one line of a kind in ten ticks, with the number of those that were left out.
func TestProxyTroubleDoesNotFloodTheLog(t *testing.T) {
	log := new(logbook)
	cfg := proxied(ProxyRequired)
	l := stoppedLoop(t, cfg, Echo{})
	l.log = slog.New(slog.NewTextHandler(log, nil))
	c := pair(t, l)
	const trials = 3 * troubleEvery
	for range trials {
		for range 5 {
			l.proxyTrouble(c.Conn, troubleHeader, errProxyMissing)
		}
		l.wheel.now++
	}
	if lines := strings.Count(log.text(), "no valid PROXY header"); lines != trials/troubleEvery {
		t.Errorf("%d lines for %d troubles", lines, 5*trials)
	}
	if !strings.Contains(log.text(), "more_since_last_line=49") {
		t.Errorf("the log does not count: %s", log.text())
	}
}

func TestProxyConfigIsChecked(t *testing.T) {
	for want, change := range map[string]func(*Config){
		`mode "on" is not known; give off, mixed or required`: func(c *Config) { c.ProxyProtocol = "on" },
		"list the addresses of the proxies":                   func(c *Config) { c.ProxyNetworks = nil },
		"give for example 10.0.0.0/8":                         func(c *Config) { c.ProxyNetworks = append(c.ProxyNetworks, netip.Prefix{}) },
		"::ffff:10.0.0.0/104 is not one": func(c *Config) {
			c.ProxyNetworks = []netip.Prefix{netip.MustParsePrefix("::ffff:10.0.0.0/104")}
		},
	} {
		cfg := proxied(ProxyMixed)
		change(&cfg)
		cfg = cfg.withDefaults()
		if err := cfg.validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
	for _, mode := range []ProxyMode{"", ProxyMixed, ProxyRequired} {
		cfg := proxied(mode).withDefaults()
		if err := cfg.validate(); err != nil {
			t.Errorf("%q: %v", mode, err)
		}
	}
}

// FuzzProxiedHandshake feeds a stream in pieces to a connection that begins with a header, and compares the answer with that of a plain
// connection to what follows the header.
func FuzzProxiedHandshake(f *testing.F) {
	for _, tc := range proxyCases {
		f.Add(append(bytes.Clone(tc.header), upgradeRequest("/v1/ws", wanted)...), uint8(10))
	}
	f.Fuzz(func(t *testing.T, stream []byte, piece uint8) {
		if len(stream) > 2000 {
			return
		}
		cfg := Config{MaxHeader: 1000, ProxyProtocol: ProxyRequired, ProxyNetworks: []netip.Prefix{netip.MustParsePrefix("::/128")}}
		l := stoppedLoop(t, cfg, &testHandler{})
		got := answerTo(t, l, stream, int(piece)+1)
		client, n, err := parseProxy(stream, 1000)
		want := string(answer400ProxyHeader.text)
		if err == nil {
			want = answerTo(t, stoppedLoop(t, Config{MaxHeader: 1000}, &testHandler{}), stream[n:], int(piece)+1)
		}
		if n == 0 && err == nil {
			want = ""
		}
		if got != want {
			t.Fatalf("%q: answered %q, want %q (%v, %d, %v)", stream, got, want, client, n, err)
		}
	})
}

// answerTo returns what a new connection answers to a stream.
func answerTo(t *testing.T, l *loop, stream []byte, piece int) string {
	c := pair(t, l)
	var out []byte
	buf := make([]byte, 8192)
	for len(stream) > 0 && c.state == stateHandshake {
		n := min(piece, len(stream))
		c.turn(stream[:n])
		out = append(out, c.receive(buf)...)
		stream = stream[n:]
	}
	if err := l.check(); err != nil {
		t.Fatal(err)
	}
	return string(out)
}
