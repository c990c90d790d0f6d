// Package liar is a proxy that changes what a real server and its clients tell each other, so that a test sees whether somebody notices. It stands where
// a bug of the server would show: on the wire.
package liar

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/url"
	"sync"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"

	"github.com/switchyard-im/switchyard/frame"
)

// Lies are told frame by frame, one at a time under the proxy's mutex. Each returns what goes on instead of the frame, any number of frames in a row; nil
// functions change nothing. The frame is borrowed.
type Lies struct {
	ToClient func(user string, typ frame.Type, f []byte) []byte
	ToServer func(typ frame.Type, f []byte) []byte
}

// Proxy listens on a port of its own until Close.
type Proxy struct {
	lies     Lies
	target   string // host:port
	listener net.Listener
	work     sync.WaitGroup

	mu     sync.Mutex // guards everything below, and the lies
	conns  map[net.Conn]bool
	closed bool
}

// Start stands in front of the server at a ws:// URL.
func Start(server string, lies Lies) (*Proxy, error) {
	u, err := url.Parse(server)
	if err != nil {
		return nil, fmt.Errorf("liar: %w", err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("liar: %w", err)
	}
	p := &Proxy{lies: lies, target: u.Host, listener: listener, conns: map[net.Conn]bool{}}
	p.work.Go(p.accept)
	return p, nil
}

// URL is the address to dial.
func (p *Proxy) URL() string { return "ws://" + p.listener.Addr().String() + "/v1/ws" }

// Close ends all connections and waits for the goroutines.
func (p *Proxy) Close() {
	_ = p.listener.Close()
	p.mu.Lock()
	p.closed = true
	for c := range p.conns {
		_ = c.Close()
	}
	p.mu.Unlock()
	p.work.Wait()
}

func (p *Proxy) accept() {
	for {
		c, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.work.Go(func() { p.serve(c) })
	}
}

// keep has Close end the connection; ok is false if it already has.
func (p *Proxy) keep(c net.Conn) (ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.conns[c] = true
	return !p.closed
}

func (p *Proxy) drop(c net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.conns, c)
	_ = c.Close()
}

// serve carries one connection. Its two goroutines end together, as each closes what the other reads.
func (p *Proxy) serve(client net.Conn) {
	defer p.drop(client)
	up := ws.Upgrader{Protocol: func([]byte) bool { return true }}
	if _, err := up.Upgrade(client); err != nil || !p.keep(client) {
		return
	}
	dialer := ws.Dialer{Protocols: []string{"switchyard.v1.msgpack"}}
	server, rest, _, err := dialer.Dial(context.Background(), "ws://"+p.target+"/v1/ws")
	if err != nil {
		return
	}
	defer p.drop(server)
	if !p.keep(server) {
		return
	}
	var both sync.WaitGroup
	defer both.Wait()
	both.Go(func() {
		defer client.Close()
		user := ""
		var in io.Reader = server
		if rest != nil {
			in = rest
		}
		carry(in, server, ws.StateClientSide, func(batch []byte) error {
			return wsutil.WriteServerBinary(client, p.told(&user, batch))
		})
	})
	defer server.Close()
	carry(client, client, ws.StateServerSide, func(batch []byte) error { return wsutil.WriteClientBinary(server, p.asked(batch)) })
}

// carry hands over messages until the connection ends.
func carry(in io.Reader, out io.Writer, side ws.State, to func(batch []byte) error) {
	for {
		batch, _, err := wsutil.ReadData(struct {
			io.Reader
			io.Writer
		}{in, out}, side)
		if err != nil || to(batch) != nil {
			return
		}
	}
}

// told lies to a client, whose name its welcome tells.
func (p *Proxy) told(user *string, batch []byte) []byte {
	return p.each(batch, func(typ frame.Type, f []byte) []byte {
		var w frame.Welcome
		if typ == frame.TypeWelcome && w.Parse(f) == nil {
			*user = string(w.User)
		}
		if p.lies.ToClient == nil {
			return f
		}
		return p.lies.ToClient(*user, typ, f)
	})
}

// asked lies to the server.
func (p *Proxy) asked(batch []byte) []byte {
	return p.each(batch, func(typ frame.Type, f []byte) []byte {
		if p.lies.ToServer == nil {
			return f
		}
		return p.lies.ToServer(typ, f)
	})
}

func (p *Proxy) each(batch []byte, lie func(frame.Type, []byte) []byte) (out []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(batch) > 0 {
		typ, f, rest, err := frame.Next(batch)
		if err != nil {
			return append(out, batch...)
		}
		out, batch = append(out, lie(typ, f)...), rest
	}
	return out
}
