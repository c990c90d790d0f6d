package netserver

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
)

// ProxyMode tells who may, must and must not send a PROXY header. Nobody is ever free to choose: a header from an address
// that is not in Config.ProxyNetworks is refused, or any client could pretend to be another, and so is a missing one from those that are.
type ProxyMode string

// The modes.
const (
	ProxyOff      ProxyMode = "off"      // no connection begins with a header
	ProxyMixed    ProxyMode = "mixed"    // those from the networks do, all others are clients themselves
	ProxyRequired ProxyMode = "required" // those from the networks do, all others are refused
)

func (c *Config) validateProxy() error {
	switch c.ProxyProtocol {
	case ProxyOff:
		return nil
	case ProxyMixed, ProxyRequired:
	default:
		return fmt.Errorf("netserver: PROXY protocol mode %q is not known; give %s, %s or %s", c.ProxyProtocol, ProxyOff, ProxyMixed, ProxyRequired)
	}
	if len(c.ProxyNetworks) == 0 {
		return errors.New("netserver: the PROXY protocol is on, but no network may use it; list the addresses of the proxies")
	}
	for _, p := range c.ProxyNetworks {
		if !p.IsValid() || p.Addr().Is4In6() {
			return fmt.Errorf("netserver: proxy network %v is not one; give for example 10.0.0.0/8 or fd00::/8", p)
		}
	}
	return nil
}

// meetProxy decides whether a connection that was just accepted begins with a PROXY header, and refuses it if it should have come through a
// proxy.
func (l *loop) meetProxy(c *Conn) {
	switch {
	case l.cfg.ProxyProtocol == ProxyOff:
	case l.isProxy(c.RemoteAddr().Addr()):
		c.headerDue = true
	case l.cfg.ProxyProtocol == ProxyRequired:
		l.proxyTrouble(c, troubleDirect, nil)
		l.refuse(c, &answer403Direct, ReasonDirect)
	}
}

// isProxy walks the networks: few, and only once for a connection.
func (l *loop) isProxy(a netip.Addr) bool {
	for _, p := range l.cfg.ProxyNetworks {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// proxyHeader gathers the PROXY header and takes the client's address from it. The rest, which follows the header, is the client's; it lies
// in b. Done is false if there is none yet: the header is incomplete, and held, or was refused. Held are at most Config.MaxHeader bytes.
func (l *loop) proxyHeader(c *Conn, b []byte) (rest []byte, done bool) {
	header, held := b, 0
	if c.in != nil {
		held = len(c.in.data)
		c.in.data = l.pool.append(c.in.data, b[:min(len(b), l.cfg.MaxHeader-held)])
		header = c.in.data
	}
	client, n, err := parseProxy(header, l.cfg.MaxHeader)
	switch {
	case err != nil:
		l.proxyTrouble(c, troubleHeader, err)
		l.refuse(c, &answer400ProxyHeader, ReasonProxyHeader)
		return nil, false
	case n == 0 && c.in == nil:
		c.in = l.pool.getInput()
		c.in.data = l.pool.append(nil, header)
		return nil, false
	case n == 0:
		return nil, false
	}
	if client.IsValid() {
		c.addr, c.port = client.Addr().As16(), client.Port()
	}
	c.headerDue = false
	l.n.proxied++
	l.dropInput(c)
	return b[n-held:], l.admitAddress(c)
}

// proxyAnswer is the answer to a bad request that begins like a PROXY header, where none is taken; nil for any other.
func (l *loop) proxyAnswer(c *Conn, request []byte) *answer {
	if !bytes.HasPrefix(request, []byte(proxyV1Start)) && !bytes.HasPrefix(request, []byte(proxyV2Start[:len(headerEnd)])) {
		return nil
	}
	l.proxyTrouble(c, troubleUnexpected, nil)
	return &answer400ProxyUnexpected
}

// trouble is what an operator is told about PROXY headers.
type trouble uint8

const (
	troubleHeader trouble = iota
	troubleUnexpected
	troubleDirect
	troubleCount
)

var troubles = [troubleCount]struct{ text, remedy string }{
	troubleHeader: {"a connection from server.proxy_networks was refused: it has no valid PROXY header",
		"let this proxy send one (HAProxy: send-proxy-v2; nginx: proxy_protocol on), or take its address out of server.proxy_networks"},
	troubleUnexpected: {"a connection was refused: it begins like a PROXY header, which is not taken from this address",
		"if it is a proxy of yours, add its address to server.proxy_networks and set server.proxy_protocol to required or mixed"},
	troubleDirect: {"a connection was refused: it does not come from a proxy",
		"if it is a proxy of yours, add its address to server.proxy_networks; if clients may come directly, set server.proxy_protocol to mixed"},
}

// troubleEvery is how many ticks the log is silent about a kind of trouble after a line about it.
const troubleEvery = 10

// told is when a kind of trouble was logged, and how often it was not since.
type told struct {
	next   int32 // tick
	missed int
}

// proxyTrouble logs, but neither a flood nor a proxy with a wrong setting fills the log.
func (l *loop) proxyTrouble(c *Conn, kind trouble, err error) {
	t := &l.told[kind]
	if l.wheel.now < t.next {
		t.missed++
		return
	}
	args := []any{"peer", c.RemoteAddr().String(), "remedy", troubles[kind].remedy, "more_since_last_line", t.missed}
	if err != nil {
		args = append(args, "error", err)
	}
	l.log.Warn(troubles[kind].text, args...)
	*t = told{next: l.wheel.now + troubleEvery}
}
