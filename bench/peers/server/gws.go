package server

import (
	"net"

	"github.com/lxzan/gws"
)

// serveGWS is the server of the library's own benchmark: its defaults, without net/http.
func serveGWS(l net.Listener) error {
	return gws.NewServer(echoGWS{}, &gws.ServerOption{ReadMaxPayloadSize: maxMessage}).RunListener(l)
}

// echoGWS is called by the goroutine of the connection.
type echoGWS struct{ gws.BuiltinEventHandler }

func (echoGWS) OnMessage(c *gws.Conn, m *gws.Message) {
	defer m.Close()
	_ = c.WriteMessage(m.Opcode, m.Bytes()) // an error closes the connection
}
