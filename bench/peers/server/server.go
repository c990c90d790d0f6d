// Package server holds the peers: the smallest echo server on each library, written as a good user of that library writes one who wants it
// fast. What the library's documentation or its author's benchmark advises is used, and what is off by default stays off (compression,
// UTF-8 checks beyond the default, parallel handling of one connection's messages).
//
// Each file is one server. The process does nothing else, except that an admin address tells its heap and frees memory, like that of switchyard.
package server

import (
	"context"
	"net"
	"net/http"
)

// Peer is one library.
type Peer struct {
	Name   string
	Module string // its module path
	Setup  string // how it is used, for the report

	// Serve echoes on a listener and returns when that is closed or broken.
	Serve func(net.Listener) error
}

// All are the peers in the order of reports. nbio-pool and gobwas-merged are no further libraries but the same ones used otherwise: they tell
// what a choice is worth.
var All = []Peer{
	{"gorilla", "github.com/gorilla/websocket", "net/http, a goroutine a connection, a pool of write buffers, messages streamed from reader to writer", serveGorilla},
	{"gws", "github.com/lxzan/gws", "its own server, a goroutine a connection, ParallelEnabled off", serveGWS},
	{"nbio", "github.com/lesismal/nbio", "its own engine, IOModNonBlocking, handlers on the pollers, payloads released", serveNbio},
	{"nbio-pool", "github.com/lesismal/nbio", "the same with its default, handlers in a pool of goroutines", serveNbioPool},
	{"coder", "github.com/coder/websocket", "net/http, a goroutine a connection, pooled message buffers, one frame a message", serveCoder},
	{"gobwas", "github.com/gobwas/ws", "net/http, a goroutine a connection, pooled message buffers, one write a message", serveGobwas},
	{"gobwas-merged", "github.com/gobwas/ws", "the same, but answers wait while more is in the read buffer", serveGobwasMerged},
}

// Find returns the peer of a name, or nil.
func Find(name string) *Peer {
	for i := range All {
		if All[i].Name == name {
			return &All[i]
		}
	}
	return nil
}

// maxMessage bounds what a server takes, for the libraries that leave it to their user.
const maxMessage = 1 << 20

// Listen opens the listener of a peer. Go's keep-alive is off, because it costs each accepted connection three system calls that are no part of an
// echo; so is Multipath TCP, which Go listens with where the kernel has it.
func Listen(ctx context.Context, address string) (net.Listener, error) {
	c := net.ListenConfig{KeepAlive: -1}
	c.SetMultipathTCP(false)
	return c.Listen(ctx, "tcp", address)
}

// serveHTTP gives every request to upgrade. A connection that upgrade hijacked belongs to a goroutine of its own, not to the one that net/http
// made for it: so the request, its header and its buffers become garbage.
func serveHTTP(l net.Listener, upgrade http.HandlerFunc) error {
	s := http.Server{Handler: upgrade}
	return s.Serve(l)
}
