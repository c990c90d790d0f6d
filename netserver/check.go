package netserver

import (
	"errors"
	"fmt"
)

// Check verifies the invariants of every connection, each loop on its own goroutine, and returns what is violated. It walks all
// connections, so it is for tests and a debug endpoint. Call it while Serve runs; nil after Shutdown.
func (s *Server) Check() error {
	var all error
	for _, l := range s.loops {
		found := make(chan error, 1)
		if l.box.post(task{run: func() { found <- l.check() }}) {
			select {
			case err := <-found:
				all = errors.Join(all, err)
			case <-s.done:
			}
		}
	}
	return all
}

// check verifies the invariants of the loop's connections (see Conn) and its counts, between turns or in a task.
func (l *loop) check() error {
	var err error
	live, surplus, open := 0, 0, uint64(0)
	held := l.inWheel()
	l.slots.each(func(c *Conn) {
		if e := l.checkConn(c, held[c]); e != nil {
			err = errors.Join(err, fmt.Errorf("BUG: connection %#x in state %d: %w", uint64(c.id), c.state, e))
		}
		if c.state != stateClosed {
			live++
		}
		if c.state == stateOpen {
			open++
		}
		if c.surplus {
			surplus++
		}
	})
	if live != l.live || open != l.n.open || surplus != l.surplus {
		err = errors.Join(err, fmt.Errorf("BUG: loop %d counts %d live, %d open and %d surplus connections, but has %d, %d and %d",
			l.index, l.live, l.n.open, l.surplus, live, open, surplus))
	}
	return err
}

// inWheel counts how often each connection hangs in the wheel.
func (l *loop) inWheel() map[*Conn]int {
	held := make(map[*Conn]int)
	for _, c := range l.wheel.heads {
		for ; c != nil; c = c.next {
			held[c]++
		}
	}
	return held
}

func (l *loop) checkConn(c *Conn, inWheel int) error {
	leaving := c.state != stateHandshake && c.state != stateOpen
	switch {
	case c.state == stateClosed && inWheel != 0, c.state != stateClosed && inWheel != 1:
		return fmt.Errorf("it is in the wheel %d times (1)", inWheel)
	case c.state == stateClosed && (c.in != nil || c.out != nil):
		return errors.New("it holds buffers (2)")
	case c.in != nil && c.state == stateOpen && c.in.idle():
		return errors.New("it holds an input record for nothing (2)")
	case c.out != nil && c.out.waiting() == 0:
		return errors.New("it holds an empty output buffer (3)")
	case l.cfg.Limits.PerAddress > 0 && c.state == stateOpen && !c.counted:
		return errors.New("its address was not counted")
	case c.surplus && c.state != stateFlush && c.state != stateLinger:
		return errors.New("it is surplus and not on its way out")
	case c.paused && c.polling:
		return errors.New("it is paused, and the poller watches it")
	case c.opened && leaving && len(l.leaving) == 0 && len(l.writer.staged) == 0:
		return errors.New("the handler was not told that it closed (4)")
	}
	return nil
}
