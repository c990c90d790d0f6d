package switchyard

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/gobwas/ws"

	"github.com/switchyard-im/switchyard/frame"
)

// subprotocol is what this client speaks.
const subprotocol = "switchyard.v1.msgpack"

var errSubprotocol = errors.New("switchyard: the server does not speak " + subprotocol + "; update the client")

// connect makes one connection, up to the server's welcome. It returns within Options.DialTimeout, the token's call included.
func (c *Client) connect(ctx context.Context, url string) (*link, error) {
	ctx, cancel := context.WithTimeout(ctx, c.opts.DialTimeout)
	defer cancel()
	token, err := c.token(ctx)
	if err != nil {
		return nil, err
	}
	conn, src, err := c.upgrade(ctx, url)
	if err != nil {
		return nil, err
	}
	l := newLink(conn, src, c.opts)
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	err = l.hello(token, c.opts)
	if !stop() && err == nil {
		err = ctx.Err()
	}
	if err != nil {
		conn.Close()
		return nil, firstCause(ctx.Err(), err)
	}
	return l, nil
}

// firstCause prefers the reason why a connection was closed under a call to the error that the call saw.
func firstCause(cause, err error) error {
	if cause != nil {
		return cause
	}
	return err
}

func (c *Client) token(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, c.opts.DialTimeout)
	defer cancel()
	token, err := c.opts.Token(ctx)
	if err == nil && len(token) > frame.MaxToken {
		err = fmt.Errorf("%d bytes, the protocol allows %d", len(token), frame.MaxToken)
	}
	if err != nil {
		return "", fmt.Errorf("switchyard: Options.Token: %w", err)
	}
	return token, nil
}

// upgrade opens the WebSocket. src begins with what the server sent right behind its answer.
func (c *Client) upgrade(ctx context.Context, url string) (conn net.Conn, src io.Reader, err error) {
	var refused *HandshakeError
	dialer := ws.Dialer{
		Protocols: []string{subprotocol},
		NetDial:   c.opts.DialContext,
		TLSConfig: c.opts.TLS,
		OnStatusError: func(status int, _ []byte, resp io.Reader) {
			refused = readRefusal(status, resp)
		},
	}
	conn, br, hs, err := dialer.Dial(ctx, url)
	if refused != nil {
		return nil, nil, refused
	}
	if err != nil {
		return nil, nil, fmt.Errorf("switchyard: connect: %w", err)
	}
	if hs.Protocol != subprotocol {
		conn.Close()
		return nil, nil, errSubprotocol
	}
	return conn, withBuffered(br, conn), nil
}

// readRefusal finds the retry time of an HTTP answer. https://www.rfc-editor.org/rfc/rfc9110#section-10.2.3
func readRefusal(status int, resp io.Reader) *HandshakeError {
	e := &HandshakeError{Status: status}
	answer, err := http.ReadResponse(bufio.NewReader(io.LimitReader(resp, 8<<10)), nil)
	if err != nil {
		return e
	}
	defer answer.Body.Close()
	if seconds, err := strconv.ParseUint(answer.Header.Get("Retry-After"), 10, 20); err == nil {
		e.RetryAfter = time.Duration(seconds) * time.Second
	}
	return e
}

// withBuffered puts back what the upgrade read too much, and gives its pooled reader back.
func withBuffered(br *bufio.Reader, conn net.Conn) io.Reader {
	if br == nil {
		return conn
	}
	early, _ := br.Peek(br.Buffered())
	early = bytes.Clone(early)
	ws.PutReader(br)
	return io.MultiReader(bytes.NewReader(early), conn)
}
