package client

import (
	"crypto/rand"
	"crypto/sha1"
	"encoding/base64"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Target is a server to dial, parsed and resolved once. Safe to share: nothing changes it.
type Target struct {
	addr     netip.AddrPort
	request  []byte // the whole upgrade request
	accept   string // the Sec-WebSocket-Accept that answers it
	protocol string // the subprotocol asked for, empty if none

	tune func(fd int) error // of each socket before it connects, or nil
}

// ParseTarget resolves a ws:// URL (port 80 by default). Protocol is the subprotocol to ask for and insist on, or empty.
func ParseTarget(raw, protocol string) (*Target, error) {
	u, err := url.Parse(raw)
	if err != nil {
		return nil, fmt.Errorf("client: bad URL: %w", err)
	}
	if u.Scheme != "ws" || u.Host == "" {
		return nil, fmt.Errorf("client: cannot use the URL %q: give ws://HOST:PORT/PATH (TLS ends in front of the server, so measure the plain listener)", raw)
	}
	port := u.Port()
	if port == "" {
		port = "80"
	}
	addr, err := net.ResolveTCPAddr("tcp", net.JoinHostPort(u.Hostname(), port))
	if err != nil {
		return nil, fmt.Errorf("client: cannot resolve %s: %w", u.Host, err)
	}
	t := &Target{addr: addr.AddrPort(), protocol: protocol}
	t.addr = netip.AddrPortFrom(t.addr.Addr().Unmap(), t.addr.Port())
	t.request, t.accept = upgradeRequest(u, protocol)
	return t, nil
}

// Tuned returns the same target whose sockets are prepared by a function before they connect: buffer sizes, lingering.
func (t *Target) Tuned(tune func(fd int) error) *Target {
	tuned := *t
	tuned.tune = tune
	return &tuned
}

// Addr is the server's address.
func (t *Target) Addr() netip.AddrPort { return t.addr }

// upgradeRequest renders the request once for all connections: the nonce guards against caches, not against servers.
func upgradeRequest(u *url.URL, protocol string) (request []byte, accept string) {
	var nonce [16]byte
	_, _ = rand.Read(nonce[:]) // never fails
	key := base64.StdEncoding.EncodeToString(nonce[:])
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11")) // RFC 6455, section 1.3
	var b strings.Builder
	b.WriteString("GET " + u.RequestURI() + " HTTP/1.1\r\nHost: " + u.Host + "\r\n")
	b.WriteString("Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " + key + "\r\n")
	if protocol != "" {
		b.WriteString("Sec-WebSocket-Protocol: " + protocol + "\r\n")
	}
	b.WriteString("\r\n")
	return []byte(b.String()), base64.StdEncoding.EncodeToString(sum[:])
}

func (t *Target) family() int {
	if t.addr.Addr().Is4() {
		return unix.AF_INET
	}
	return unix.AF_INET6
}

func sockaddr(a netip.AddrPort) unix.Sockaddr {
	if a.Addr().Is4() {
		return &unix.SockaddrInet4{Port: int(a.Port()), Addr: a.Addr().As4()}
	}
	zone, _ := strconv.Atoi(a.Addr().Zone())
	return &unix.SockaddrInet6{Port: int(a.Port()), Addr: a.Addr().As16(), ZoneId: uint32(zone)}
}

// SourceFor returns the loopback address that connection i binds to, so that more connections fit than one address has
// ports: perSource of them on each of 127.0.0.1, 127.0.0.2, ... It is the zero Addr, which means "let the kernel choose", unless the
// server is on IPv4 loopback.
func (t *Target) SourceFor(i, perSource int) netip.Addr {
	if !t.addr.Addr().Is4() || !t.addr.Addr().IsLoopback() {
		return netip.Addr{}
	}
	n := i/perSource + 1
	return netip.AddrFrom4([4]byte{127, 0, byte(n / 250), byte(n%250 + 1)})
}
