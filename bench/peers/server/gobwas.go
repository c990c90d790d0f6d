package server

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"
)

// serveGobwas reads frames through the 4 KB buffer that net/http made, and writes header and payload of each together.
func serveGobwas(l net.Listener) error {
	return gobwasServer(l, func(c net.Conn, r *bufio.Reader, buffers *sync.Pool) {
		for echoGobwas(c, r, buffers) == nil {
		}
	})
}

// serveGobwasMerged collects answers and writes them when all that was read is answered. No library here does that for its user.
func serveGobwasMerged(l net.Listener) error {
	return gobwasServer(l, func(c net.Conn, r *bufio.Reader, buffers *sync.Pool) {
		w := bufio.NewWriter(c)
		for echoGobwas(w, r, buffers) == nil {
			if r.Buffered() == 0 && w.Flush() != nil {
				return
			}
		}
	})
}

// gobwasServer gives each connection to serve, on a goroutine that ends with it.
func gobwasServer(l net.Listener, serve func(net.Conn, *bufio.Reader, *sync.Pool)) error {
	buffers := sync.Pool{New: func() any { return new(bytes.Buffer) }}
	return serveHTTP(l, func(w http.ResponseWriter, r *http.Request) {
		c, rw, _, err := ws.UpgradeHTTP(r, w)
		if err != nil {
			return // answered
		}
		go func() {
			defer c.Close()
			serve(c, rw.Reader, &buffers)
		}()
	})
}

// echoGobwas sends one frame back, whether it is a whole message or not. It takes a buffer only when a frame is there.
func echoGobwas(w io.Writer, r *bufio.Reader, buffers *sync.Pool) error {
	h, err := ws.ReadHeader(r)
	if err != nil {
		return err
	}
	if h.OpCode.IsControl() {
		return wsutil.ControlHandler{Src: r, Dst: w, State: ws.StateServerSide}.Handle(h)
	}
	if h.Length > maxMessage {
		return errors.New("frame too large")
	}
	b := buffers.Get().(*bytes.Buffer)
	defer buffers.Put(b)
	b.Reset()
	if err := ws.WriteHeader(b, ws.Header{Fin: h.Fin, OpCode: h.OpCode, Length: h.Length}); err != nil {
		return err
	}
	b.Grow(int(h.Length))
	payload := b.AvailableBuffer()[:h.Length]
	if _, err := io.ReadFull(r, payload); err != nil {
		return err
	}
	ws.Cipher(payload, h.Mask, 0)
	b.Write(payload)
	_, err = w.Write(b.Bytes())
	return err
}
