package client

import (
	"fmt"
	"io"
	"syscall"

	"github.com/gobwas/ws"
	"golang.org/x/sys/unix"
)

// turn reads once and handles every complete frame. One read a turn keeps a hot connection from starving the rest: if there may be more to read (the buffer
// was filled, or the end of the connection comes after what was read), the poller is made to tell of it again.
func (c *Conn) turn(ends bool) {
	l := c.loop
	held := copy(l.in, c.in)
	n, errno := rawRead(int(c.fd), l.in[held:])
	switch {
	case errno == syscall.EAGAIN:
		return
	case errno != 0:
		c.fail(fmt.Errorf("client: read: %w", errno))
		return
	case n == 0:
		c.fail(io.EOF)
		return
	}
	l.current = c
	generation := c.generation
	rest, err := c.consume(l.in[:held+n])
	switch {
	case c.state == stateIdle || c.generation != generation: // the handler closed it
		l.out = l.out[:0]
	case err != nil:
		c.sendOut()
		c.fail(err)
	default:
		c.keep(rest)
		c.sendOut()
		if c.woken && c.writable() {
			c.enqueue()
		}
		if ends || held+n == len(l.in) {
			_ = l.watch(c, unix.EPOLL_CTL_MOD, c.interest()) // fails only if the descriptor is gone
		}
	}
	l.current = nil
}

// keep stores an incomplete rest until more arrives.
func (c *Conn) keep(rest []byte) {
	if len(rest) == 0 {
		c.loop.putBuffer(c.in)
		c.in = nil
		return
	}
	if c.in == nil {
		c.in = c.loop.getBuffer()
	}
	c.in = append(c.in[:0], rest...)
}

// consume handles what is complete at the start of data and returns the rest.
func (c *Conn) consume(data []byte) ([]byte, error) {
	if c.state == stateUpgrading {
		rest, ok, err := c.target.checkUpgrade(data)
		if !ok || err != nil {
			return data, err
		}
		data = rest
		c.upgraded()
	}
	for c.state == stateOpen {
		h, ok, err := parseHeader(data, maxMessage)
		if err != nil {
			return nil, err
		}
		if !ok || len(data) < h.size+h.length {
			break
		}
		if err := c.frame(h, data[h.size:h.size+h.length]); err != nil {
			return nil, err
		}
		data = data[h.size+h.length:]
	}
	return data, nil
}

func (c *Conn) upgraded() {
	c.state = stateOpen
	c.loop.dialing--
	c.loop.dialsFree = true
	c.noEnding()
	c.handler.Opened()
}

// frame handles one complete frame.
func (c *Conn) frame(h header, payload []byte) error {
	switch {
	case h.op == ws.OpPing:
		c.loop.pings++
		c.End(append(c.Begin(ws.OpPong), payload...))
	case h.op == ws.OpClose:
		c.End(append(c.Begin(ws.OpClose), payload[:min(2, len(payload))]...))
		return parseClose(payload)
	case h.op == ws.OpPong:
	case h.op != ws.OpContinuation && c.fragments == nil && h.fin:
		c.handler.Message(h.op, payload)
	default:
		return c.fragment(h, payload)
	}
	return nil
}

// fragment gathers a message that comes in several frames.
func (c *Conn) fragment(h header, payload []byte) error {
	if first := h.op != ws.OpContinuation; first != (c.fragments == nil) {
		return fmt.Errorf("%w: unexpected continuation or message inside a fragmented one", ErrProtocol)
	} else if first {
		c.fragments = &fragments{op: h.op, data: make([]byte, 0, 2*len(payload)+1)}
	}
	if len(c.fragments.data)+len(payload) > maxMessage {
		return fmt.Errorf("client: the server sent a message over %d bytes", maxMessage)
	}
	c.fragments.data = append(c.fragments.data, payload...)
	if h.fin {
		whole := c.fragments
		c.fragments = nil
		c.handler.Message(whole.op, whole.data)
	}
	return nil
}
