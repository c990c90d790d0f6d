package server

import (
	"io"
	"net"
	"net/http"
	"sync"

	"github.com/gorilla/websocket"
)

// serveGorilla reads through the 4 KB buffer that net/http made, and borrows a write buffer for each message, as the library advises for many
// connections that seldom write.
func serveGorilla(l net.Listener) error {
	upgrader := websocket.Upgrader{WriteBufferPool: new(sync.Pool)}
	return serveHTTP(l, func(w http.ResponseWriter, r *http.Request) {
		c, err := upgrader.Upgrade(w, r, nil)
		if err != nil {
			return // answered
		}
		c.SetReadLimit(maxMessage)
		go func() { // ends with the connection
			defer c.Close()
			for echoGorilla(c) == nil {
			}
		}()
	})
}

// echoGorilla copies one message: the writer reads right into its buffer.
func echoGorilla(c *websocket.Conn) error {
	kind, r, err := c.NextReader()
	if err != nil {
		return err
	}
	w, err := c.NextWriter(kind)
	if err != nil {
		return err
	}
	if _, err := io.Copy(w, r); err != nil {
		return err
	}
	return w.Close()
}
