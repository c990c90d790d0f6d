package server

import (
	"bytes"
	"context"
	"net"
	"net/http"
	"sync"

	"github.com/coder/websocket"
)

// serveCoder reads each message into a pooled buffer and writes it as one frame: a Writer would need two.
func serveCoder(l net.Listener) error {
	buffers := sync.Pool{New: func() any { return new(bytes.Buffer) }}
	return serveHTTP(l, func(w http.ResponseWriter, r *http.Request) {
		c, err := websocket.Accept(w, r, nil)
		if err != nil {
			return // answered
		}
		c.SetReadLimit(maxMessage)
		go func() { // ends with the connection
			defer c.CloseNow()
			for echoCoder(c, &buffers) == nil {
			}
		}()
	})
}

// echoCoder takes a buffer only when a message is there.
func echoCoder(c *websocket.Conn, buffers *sync.Pool) error {
	ctx := context.Background()
	kind, r, err := c.Reader(ctx)
	if err != nil {
		return err
	}
	b := buffers.Get().(*bytes.Buffer)
	defer buffers.Put(b)
	b.Reset()
	if _, err := b.ReadFrom(r); err != nil {
		return err
	}
	return c.Write(ctx, kind, b.Bytes())
}
