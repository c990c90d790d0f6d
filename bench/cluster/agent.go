package cluster

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"sync"
)

// maxCallers bounds the connections that an agent has, most of which it is about to refuse; more are closed at once.
const maxCallers = 16

// Agent waits for controllers and works for one at a time. Its fields are fixed before Listen.
type Agent struct {
	Secret  *Secret
	Version string // of the program
	Work    Work
	Log     func(string) // gets a line for each controller that comes, goes or is refused; may be called from several goroutines

	busy sync.Mutex // held by the session that works
}

// Listen serves controllers until ctx ends, and closes the listener. The error is one of that.
func (a *Agent) Listen(ctx context.Context, listener net.Listener) error {
	ctx, cancel := context.WithCancel(ctx)
	var callers sync.WaitGroup
	defer callers.Wait()
	defer cancel()
	stop := context.AfterFunc(ctx, func() { _ = listener.Close() })
	defer stop()
	room := make(chan struct{}, maxCallers)
	for {
		conn, err := listener.Accept()
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return fmt.Errorf("cluster: %w", err)
		}
		select {
		case room <- struct{}{}:
			callers.Go(func() { // ends with its connection, or with ctx
				a.serve(ctx, conn)
				<-room
			})
		default:
			_ = conn.Close()
		}
	}
}

// serve talks to one that called.
func (a *Agent) serve(ctx context.Context, raw net.Conn) {
	from := raw.RemoteAddr().String()
	conn := tls.Server(raw, a.Secret.config)
	within, cancel := context.WithTimeout(ctx, dialWithin)
	err := conn.HandshakeContext(within)
	cancel()
	if err != nil {
		_ = raw.Close()
		a.Log(fmt.Sprintf("%s was refused: %v", from, err))
		return
	}
	if !a.busy.TryLock() {
		l := newLink(conn)
		a.Log(fmt.Sprintf("%s: %v", from, l.refuse("it works for another controller")))
		l.close()
		return
	}
	defer a.busy.Unlock()
	a.Log(from + " is the controller")
	if err := Serve(ctx, conn, a.Version, a.Work); err != nil {
		a.Log(fmt.Sprintf("%s: %v", from, err))
		return
	}
	a.Log(from + " has what it wanted")
}
