package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"path/filepath"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"github.com/switchyard-im/switchyard/dispatch/auth"
	"github.com/switchyard-im/switchyard/frame"
)

// wire is a client that says exactly what it is told, right or wrong.
type wire struct {
	t    *testing.T
	conn net.Conn
	in   *bufio.Reader
	rest []byte // frames of the last message that were not looked at
}

// connect upgrades a connection.
func (i *installation) connect() *wire {
	i.t.Helper()
	d := ws.Dialer{Protocols: []string{"switchyard.v1.msgpack"}, Timeout: patience}
	conn, in, _, err := d.Dial(i.t.Context(), "ws://"+i.listen+"/v1/ws")
	if err != nil {
		i.t.Fatal(err)
	}
	return i.wrap(conn, in)
}

// raw opens a connection and sends nothing.
func (i *installation) raw() *wire {
	i.t.Helper()
	var d net.Dialer
	ctx, cancel := context.WithTimeout(i.t.Context(), patience)
	defer cancel()
	conn, err := d.DialContext(ctx, "tcp", i.listen)
	if err != nil {
		i.t.Fatal(err)
	}
	return i.wrap(conn, nil)
}

func (i *installation) wrap(conn net.Conn, in *bufio.Reader) *wire {
	i.t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(patience))
	if in == nil {
		in = bufio.NewReader(conn)
	}
	return &wire{t: i.t, conn: conn, in: in}
}

// login connects and says hello with a good token.
func (i *installation) login(user string, role frame.Role) *wire {
	i.t.Helper()
	w := i.connect()
	w.frames((&frame.Hello{Ref: 1, Token: i.token(user, role, time.Hour)}).Append(nil))
	w.expect(frame.TypeWelcome)
	return w
}

// token signs one with the installation's key; it ends after ttl, or has ended if that is negative.
func (i *installation) token(user string, role frame.Role, ttl time.Duration) []byte {
	i.t.Helper()
	key, err := auth.LoadKey("", filepath.Join(i.dir, devKeyFile))
	if err != nil {
		i.t.Fatal(err)
	}
	return sign(i.t, key, user, role, ttl)
}

func sign(t *testing.T, key auth.Key, user string, role frame.Role, ttl time.Duration) []byte {
	t.Helper()
	issued := time.Now()
	ends := issued.Add(ttl)
	if ttl < 0 {
		issued = ends.Add(-time.Minute)
	}
	token, err := key.Sign(auth.Identity{User: user, Role: role, Groups: []string{devGroup}, Expires: ends}, issued)
	if err != nil {
		t.Fatal(err)
	}
	return []byte(token)
}

// bytes writes as it is.
func (w *wire) bytes(b []byte) {
	w.t.Helper()
	if _, err := w.conn.Write(b); err != nil && !errors.Is(err, io.ErrClosedPipe) {
		w.t.Logf("write: %v", err) // the server may have closed already; what it said is checked by the reader
	}
}

// frames sends one masked binary message.
func (w *wire) frames(payload []byte) { w.t.Helper(); w.bytes(masked(ws.OpBinary, payload)) }

func masked(op ws.OpCode, payload []byte) []byte {
	f := ws.MaskFrameWith(ws.NewFrame(op, true, append([]byte(nil), payload...)), [4]byte{1, 2, 3, 4})
	b, err := ws.CompileFrame(f)
	if err != nil {
		panic(err)
	}
	return b
}

// next returns the next frame of the server, or the code with which it closed.
func (w *wire) next() (typ frame.Type, f []byte, code ws.StatusCode) {
	w.t.Helper()
	for len(w.rest) == 0 {
		//lint:ignore SA1019 the peer is this test, so the length it declares can be trusted
		msg, err := ws.ReadFrame(w.in)
		if err != nil {
			return 0, nil, ws.StatusAbnormalClosure
		}
		switch msg.Header.OpCode {
		case ws.OpClose:
			code, _ := ws.ParseCloseFrameData(msg.Payload)
			return 0, nil, code
		case ws.OpBinary:
			w.rest = msg.Payload
		}
	}
	typ, f, rest, err := frame.Next(w.rest)
	if err != nil {
		w.t.Fatalf("the server sent a bad frame: %v", err)
	}
	w.rest = rest
	return typ, f, 0
}

// expect skips to a frame of this type.
func (w *wire) expect(want frame.Type) []byte {
	w.t.Helper()
	for {
		typ, f, code := w.next()
		switch {
		case code != 0:
			w.t.Fatalf("closed with %d when %s was due", code, want)
		case typ == want:
			return f
		case typ == frame.TypeError:
			text, _ := frame.AppendJSON(nil, f)
			w.t.Fatalf("%s when %s was due", text, want)
		}
	}
}

// expectError skips to an error frame and checks its code.
func (w *wire) expectError(want uint64) frame.Error {
	w.t.Helper()
	for {
		typ, f, code := w.next()
		if code != 0 {
			w.t.Fatalf("closed with %d when error %s was due", code, frame.ErrorName(want))
		}
		if typ != frame.TypeError {
			continue
		}
		var e frame.Error
		if err := e.Parse(f); err != nil {
			w.t.Fatal(err)
		}
		if e.Code != want {
			w.t.Fatalf("error %s (%s), want %s", frame.ErrorName(e.Code), e.Text, frame.ErrorName(want))
		}
		return e
	}
}

// expectClose skips to the end of the connection.
func (w *wire) expectClose(want ws.StatusCode) {
	w.t.Helper()
	for {
		if _, _, code := w.next(); code != 0 {
			if code != want {
				w.t.Errorf("closed with %d, want %d", code, want)
			}
			return
		}
	}
}

// open opens a conversation and returns its id.
func (w *wire) open(key byte) frame.ID {
	w.t.Helper()
	w.frames((&frame.Open{Ref: 2, Key: frame.ID{15: key}, Group: []byte(devGroup)}).Append(nil))
	var c frame.Conversation
	if err := c.Parse(w.expect(frame.TypeConversation)); err != nil {
		w.t.Fatal(err)
	}
	return c.Conv
}

func jsonOf(t *testing.T, v any) []byte {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
