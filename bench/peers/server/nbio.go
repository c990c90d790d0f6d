package server

import (
	"net"
	"net/http"

	"github.com/lesismal/nbio/logging"
	"github.com/lesismal/nbio/nbhttp"
	"github.com/lesismal/nbio/nbhttp/websocket"
)

// serveNbio is the non-blocking server of the author's benchmark, the mode for many connections, and one step further: handlers run on the
// pollers instead of in a pool of goroutines, which they may because they never block.
func serveNbio(l net.Listener) error {
	return nbioServer(l, nbhttp.Config{ServerExecutor: func(f func()) { f() }})
}

// serveNbioPool is the server of the author's benchmark.
func serveNbioPool(l net.Listener) error {
	return nbioServer(l, nbhttp.Config{})
}

func nbioServer(l net.Listener, c nbhttp.Config) error {
	logging.SetLevel(logging.LevelError)
	upgrader := websocket.NewUpgrader()
	upgrader.KeepaliveTime = 0
	upgrader.OnMessage(func(c *websocket.Conn, kind websocket.MessageType, data []byte) {
		_ = c.WriteMessage(kind, data) // an error closes the connection
	})
	c.Network, c.Addrs = "tcp", []string{l.Addr().String()}
	c.Listen = func(string, string) (net.Listener, error) { return l, nil }
	c.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = upgrader.Upgrade(w, r, nil) // an error is answered
	})
	c.IOMod, c.ReleaseWebsocketPayload = nbhttp.IOModNonBlocking, true
	engine := nbhttp.NewEngine(c)
	if err := engine.Start(); err != nil {
		return err
	}
	engine.Wait()
	return nil
}
