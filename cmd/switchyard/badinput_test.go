package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"github.com/switchyard-im/switchyard/dispatch/auth"
	"github.com/switchyard-im/switchyard/frame"
	switchyard "github.com/switchyard-im/switchyard/sdk/go"
)

// TestBadInput sends what a server must survive. Each case is answered as PROTOCOL.md says; and after each, a conversation that began before
// the first still takes a message, and holds all of them in the end.
func TestBadInput(t *testing.T) {
	i := newInstallation(t, "--set", "server.handshake_timeout=3s")
	i.start()
	ctx, cancel := context.WithTimeout(t.Context(), 3*patience)
	defer cancel()
	good, err := i.dial(ctx, "good", frame.RoleVisitor).Open(ctx, devGroup, switchyard.OpenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	sent := 0
	for _, c := range badInputs {
		if !t.Run(c.name, func(t *testing.T) { c.run(&installation{t: t, dir: i.dir, listen: i.listen}) }) {
			continue
		}
		if _, err := good.Send(ctx, fmt.Sprint(sent)); err != nil {
			t.Fatalf("after %q: %v", c.name, err)
		}
		sent++
	}
	page, err := good.History(ctx, 0, 200)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, m := range page.Messages {
		var text string
		if m.Body.Decode(&text) != nil {
			continue // an event
		}
		if text != fmt.Sprint(n) {
			t.Fatalf("message %d of the history is %q", n, text)
		}
		n++
	}
	if n != sent {
		t.Errorf("%d messages of %d are in the history", n, sent)
	}
}

var badInputs = []struct {
	name string
	run  func(*installation)
}{
	{"garbage before the upgrade", garbageBefore},
	{"garbage after the upgrade", garbageAfter},
	{"one byte at a time", byteAtATime},
	{"a message of 2^63 bytes", declaresTooMuch},
	{"values of 2^32 bytes", valuesTooLong},
	{"nesting bombs", nestingBombs},
	{"wrong types", wrongTypes},
	{"unknown frame types", unknownTypes},
	{"unmasked frames", unmasked},
	{"expired token", expiredToken},
	{"token that expires", expiringToken},
	{"refreshed token", refreshedToken},
	{"unsigned token", unsignedToken},
	{"token of another key", foreignToken},
	{"token of another role", otherRole},
	{"conversation of others", othersConversation},
	{"resume beyond the head", resumeBeyond},
	{"frames before hello", beforeHello},
	{"JSON that is none", badJSON},
	{"10,000 unfinished handshakes", unfinishedHandshakes},
}

func garbageBefore(i *installation) {
	for _, garbage := range []string{"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "GET\r\n\r\n", strings.Repeat("\x00", 1000) + "\r\n\r\n"} {
		w := i.raw()
		w.bytes([]byte(garbage))
		res, err := http.ReadResponse(w.in, nil)
		if strings.HasPrefix(garbage, "\x16") {
			_ = w.conn.Close() // it waits for the rest of a line; the deadline has a case of its own
			continue
		}
		if err != nil || res.StatusCode != http.StatusBadRequest {
			i.t.Errorf("%.20q: %v %v", garbage, res, err)
		}
	}
	for path, want := range map[string]int{"/nothing": 404, "/v1/ws": 426} {
		w := i.raw()
		w.bytes([]byte("GET " + path + " HTTP/1.1\r\nHost: x\r\n\r\n"))
		if res, err := http.ReadResponse(w.in, nil); err != nil || res.StatusCode != want {
			i.t.Errorf("%s: %v %v", path, res, err)
		}
	}
	w := i.raw()
	w.bytes([]byte("GET /v1/ws HTTP/1.1\r\nHost: x\r\nCookie: " + strings.Repeat("x", 9000) + "\r\n\r\n"))
	if res, err := http.ReadResponse(w.in, nil); err != nil || res.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
		i.t.Errorf("9,000 bytes of header: %v %v", res, err)
	}
}

func garbageAfter(i *installation) {
	w := i.connect()
	w.bytes(bytes.Repeat([]byte{0xff}, 200))
	w.expectClose(ws.StatusProtocolError)

	w = i.login("w", frame.RoleVisitor)
	w.frames([]byte{0xc1, 0xff, 0x00})
	w.expectError(frame.ErrorBadFrame)
	w.expectClose(frame.CloseProtocolError)
}

func byteAtATime(i *installation) {
	w := i.raw()
	hello := masked(ws.OpBinary, (&frame.Hello{Ref: 7, Token: i.token("w", frame.RoleVisitor, time.Hour)}).Append(nil))
	request := "GET /v1/ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n" +
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: switchyard.v1.msgpack\r\n\r\n"
	for _, b := range append([]byte(request), hello...) {
		w.bytes([]byte{b})
	}
	if res, err := http.ReadResponse(w.in, nil); err != nil || res.StatusCode != http.StatusSwitchingProtocols {
		i.t.Fatalf("upgrade: %v %v", res, err)
	}
	w.expect(frame.TypeWelcome)
}

func declaresTooMuch(i *installation) {
	for _, length := range []string{"\x80\x00\x00\x00\x00\x00\x00\x00", "\x7f\xff\xff\xff\xff\xff\xff\xff", "\x00\x00\x00\x00\x00\x01\x00\x01"} {
		w := i.login("w", frame.RoleVisitor)
		w.bytes([]byte("\x82\xff" + length + "\x01\x02\x03\x04"))
		want := ws.StatusMessageTooBig
		if length[0]&0x80 != 0 {
			want = ws.StatusProtocolError // RFC 6455 5.2: the most significant bit must be 0
		}
		w.expectClose(want)
	}
}

func valuesTooLong(i *installation) {
	for _, value := range []string{"\xc6\xff\xff\xff\xff", "\xdb\xff\xff\xff\xff", "\xdd\xff\xff\xff\xff", "\xdf\xff\xff\xff\xff", "\xc9\xff\xff\xff\xff\x01"} {
		w := i.login("w", frame.RoleVisitor)
		w.frames([]byte("\x93\x26\x01" + value))
		w.expectError(frame.ErrorBadFrame)
		w.expectClose(frame.CloseProtocolError)
	}
}

func nestingBombs(i *installation) {
	for _, open := range []string{"\x91", "\x81\xa1k"} {
		w := i.login("w", frame.RoleVisitor)
		w.frames([]byte("\x92\x26" + strings.Repeat(open, 15_000) + "\xc0"))
		w.expectError(frame.ErrorBadFrame)
		w.expectClose(frame.CloseProtocolError)
	}
}

// wrongTypes: the frame is sound and its fields are not: an error, and the connection goes on.
func wrongTypes(i *installation) {
	w := i.login("w", frame.RoleVisitor)
	conv := w.open(1)
	good := (&frame.Send{Ref: 9, Conv: conv, Level: 2, ID: frame.ID{1}, Body: frame.AppendText(nil, "x")}).Append(nil)
	for name, f := range map[string][]byte{
		"no fields":       {0x91, 0x20},
		"text as ref":     {0x93, 0x10, 0xa1, 'x', 0xc0},
		"short id":        {0x93, 0x12, 0x01, 0xc4, 0x02, 0x01, 0x02},
		"map as conv":     {0x93, 0x13, 0x01, 0x80},
		"negative number": {0x93, 0x31, 0x01, 0xff},
	} {
		w.frames(f)
		if e := w.expectError(frame.ErrorBadFrame); len(e.Text) == 0 {
			i.t.Errorf("%s: the error does not say what is wrong", name)
		}
	}
	w.frames(good)
	w.expect(frame.TypeAck)
}

func unknownTypes(i *installation) {
	w := i.login("w", frame.RoleVisitor)
	for _, typ := range []byte{0x00, 0x7f, 0x03, 0x11, 0x22, 0x29} { // none, and those that only the server sends
		w.frames([]byte{0x92, typ, 0x05})
		if e := w.expectError(frame.ErrorUnknownType); e.Ref != 5 {
			i.t.Errorf("type %#x: the error is about request %d", typ, e.Ref)
		}
	}
	w.frames([]byte{0x92, 0xcc, 0xfe, 0x06})
	w.expectError(frame.ErrorUnknownType)
	w.open(2)
}

func unmasked(i *installation) {
	w := i.login("w", frame.RoleVisitor)
	w.bytes([]byte{0x82, 0x02, 0x91, 0x01})
	w.expectClose(ws.StatusProtocolError)
}

func refused(i *installation, token []byte, code uint64, closeCode ws.StatusCode) {
	i.t.Helper()
	w := i.connect()
	w.frames((&frame.Hello{Ref: 1, Token: token}).Append(nil))
	if e := w.expectError(code); e.Ref != 1 || bytes.Contains(e.Text, token) {
		i.t.Errorf("error %+v", e)
	}
	w.expectClose(closeCode)
}

func expiredToken(i *installation) {
	refused(i, i.token("w", frame.RoleVisitor, -time.Minute), frame.ErrorTokenExpired, frame.CloseTokenExpired)
}

// expiringToken: the connection ends when its token does, with a code that says so.
func expiringToken(i *installation) {
	w := i.connect()
	w.frames((&frame.Hello{Ref: 1, Token: i.token("w", frame.RoleVisitor, 2*time.Second)}).Append(nil))
	w.expect(frame.TypeWelcome)
	w.expectError(frame.ErrorTokenExpired)
	w.expectClose(frame.CloseTokenExpired)
}

// refreshedToken: a newer token on the same connection keeps it open past the end of the first; one of another user changes nothing.
func refreshedToken(i *installation) {
	w := i.connect()
	w.frames((&frame.Hello{Ref: 1, Token: i.token("w", frame.RoleVisitor, 2*time.Second)}).Append(nil))
	w.expect(frame.TypeWelcome)
	w.frames((&frame.Hello{Ref: 2, Token: i.token("other", frame.RoleVisitor, time.Hour)}).Append(nil))
	w.expectError(frame.ErrorConflict)
	w.frames((&frame.Hello{Ref: 3, Token: i.token("w", frame.RoleVisitor, 5*time.Second)}).Append(nil))
	w.expect(frame.TypeWelcome)
	begin := time.Now()
	w.expectError(frame.ErrorTokenExpired)
	if lived := time.Since(begin); lived < 3*time.Second {
		i.t.Errorf("it was closed %v after the refresh: by the end of the first token", lived)
	}
	w.expectClose(frame.CloseTokenExpired)
}

func unsignedToken(i *installation) {
	part := func(v any) string { return base64.RawURLEncoding.EncodeToString(jsonOf(i.t, v)) }
	claims := part(map[string]any{"sub": "w", "role": "visitor", "exp": time.Now().Add(time.Hour).Unix()})
	signed := strings.Split(string(i.token("w", frame.RoleVisitor, time.Hour)), ".")
	for _, token := range []string{
		part(map[string]string{"alg": "none", "typ": "JWT"}) + "." + claims + ".",
		part(map[string]string{"alg": "None", "typ": "JWT"}) + "." + claims + "." + signed[2],
		signed[0] + "." + claims + "." + signed[2], // the signature of other claims
		signed[0] + "." + signed[1] + ".",
		"x", "..",
	} {
		refused(i, []byte(token), frame.ErrorUnauthorized, frame.CloseUnauthorized)
	}
}

func foreignToken(i *installation) {
	key, _ := auth.GenerateKey("")
	refused(i, sign(i.t, key, "w", frame.RoleVisitor, time.Hour), frame.ErrorUnauthorized, frame.CloseUnauthorized)
}

// otherRole: a token for one role does not do what another may, not even for a user of the same name.
func otherRole(i *installation) {
	visitor := i.login("w", frame.RoleVisitor)
	conv := visitor.open(3)
	visitor.frames((&frame.Status{Ref: 4, Status: frame.AgentOnline}).Append(nil))
	visitor.expectError(frame.ErrorForbidden)

	agent := i.login("w", frame.RoleAgent)
	agent.frames((&frame.Open{Ref: 2, Key: frame.ID{15: 3}, Group: []byte(devGroup)}).Append(nil))
	agent.expectError(frame.ErrorForbidden)
	agent.frames((&frame.Send{Ref: 3, Conv: conv, Level: 2, ID: frame.ID{1}, Body: frame.AppendText(nil, "x")}).Append(nil))
	agent.expectError(frame.ErrorForbidden)
}

func othersConversation(i *installation) {
	owner := i.login("owner", frame.RoleVisitor)
	conv := owner.open(4)
	w := i.login("stranger", frame.RoleVisitor)
	for _, f := range [][]byte{
		(&frame.Send{Ref: 3, Conv: conv, Level: 2, ID: frame.ID{1}, Body: frame.AppendText(nil, "x")}).Append(nil),
		(&frame.Attach{Ref: 4, Conv: conv}).Append(nil),
		(&frame.Resume{Ref: 5, Conv: conv}).Append(nil),
		(&frame.History{Ref: 6, Conv: conv}).Append(nil),
		(&frame.Close{Ref: 7, Conv: conv}).Append(nil),
	} {
		w.frames(f)
		w.expectError(frame.ErrorForbidden)
	}
	w.frames((&frame.Send{Ref: 8, Conv: frame.ID{9}, Level: 2, ID: frame.ID{1}, Body: frame.AppendText(nil, "x")}).Append(nil))
	w.expectError(frame.ErrorNotFound)
	owner.frames((&frame.Send{Ref: 9, Conv: conv, Level: 2, ID: frame.ID{2}, Base: 1, Body: frame.AppendText(nil, "mine")}).Append(nil))
	var a frame.Ack
	if err := a.Parse(owner.expect(frame.TypeAck)); err != nil || a.Seq != 2 {
		i.t.Errorf("the owner's message is number %d (%v)", a.Seq, err)
	}
}

func resumeBeyond(i *installation) {
	w := i.login("w", frame.RoleVisitor)
	conv := w.open(5)
	for _, after := range []uint64{2, 1 << 36, frame.Sequence(1, 1), frame.MaxSequence} {
		w.frames((&frame.Resume{Ref: 3, Conv: conv, After: after}).Append(nil))
		var r frame.Resumed
		if err := r.Parse(w.expect(frame.TypeResumed)); err != nil || r.Recovered || r.Head != 1 || r.Count != 0 {
			i.t.Errorf("resume after %d: %+v %v", after, r, err)
		}
	}
	w.frames((&frame.Send{Ref: 4, Conv: conv, Level: 2, ID: frame.ID{1}, Base: 99, Body: frame.AppendText(nil, "x")}).Append(nil))
	w.expectError(frame.ErrorBadSequence)
	w.frames((&frame.Mark{Type: frame.TypeRead, Conv: conv, Seq: 99}).Append(nil))
	w.expectError(frame.ErrorBadSequence)
}

func beforeHello(i *installation) {
	w := i.connect()
	w.frames((&frame.Attach{Ref: 4, Conv: frame.ID{1}}).Append(nil))
	w.expectError(frame.ErrorUnauthorized)
	w.expectClose(frame.CloseProtocolError)
}

func badJSON(i *installation) {
	d := ws.Dialer{Protocols: []string{"switchyard.v1.json"}, Timeout: patience}
	grows := `[38,"01000000000000000000000000000000","n",[1.5` + strings.Repeat(",1.5", 15_000) + "]]" // 4 bytes a number, 9 as msgpack
	for text, want := range map[string]ws.StatusCode{
		"{": frame.CloseProtocolError, "nonsense": frame.CloseProtocolError, "[[1,": frame.CloseProtocolError,
		strings.Repeat("[", 20_000): frame.CloseProtocolError, `[[2,1,"\ud800"]]`: frame.CloseProtocolError, grows: frame.CloseMessageTooBig,
	} {
		conn, in, _, err := d.Dial(i.t.Context(), "ws://"+i.listen+"/v1/ws")
		if err != nil {
			i.t.Fatal(err)
		}
		w := i.wrap(conn, in)
		w.bytes(masked(ws.OpText, []byte(text)))
		for {
			//lint:ignore SA1019 the peer is this test, so the length it declares can be trusted
			f, err := ws.ReadFrame(w.in)
			if err != nil {
				i.t.Fatalf("%.20q: the connection ended without a close frame: %v", text, err)
			}
			if f.Header.OpCode == ws.OpClose {
				if code, _ := ws.ParseCloseFrameData(f.Payload); code != want {
					i.t.Errorf("%.20q: closed with %d, want %d", text, code, want)
				}
				break
			}
		}
	}
}

// unfinishedHandshakes: all are closed at the deadline, and one that is in earnest gets through at once meanwhile.
func unfinishedHandshakes(i *installation) {
	const n, perAddress = 10_000, 2_500
	conns := make([]net.Conn, 0, n)
	defer func() {
		for _, c := range conns {
			_ = c.Close()
		}
	}()
	for k := range n {
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 1, byte(1+k/perAddress))}, Timeout: patience}
		c, err := d.Dial("tcp", i.listen)
		if err != nil {
			i.t.Fatalf("connection %d: %v", k, err)
		}
		conns = append(conns, c)
		if _, err := c.Write([]byte("GET /v1/ws HTTP/1.1\r\nHost: x\r\nUpgr")); err != nil {
			i.t.Fatal(err)
		}
	}
	i.login("earnest", frame.RoleVisitor).open(6)
	for k, c := range conns {
		_ = c.SetReadDeadline(time.Now().Add(patience))
		if _, err := io.Copy(io.Discard, c); err != nil && strings.Contains(err.Error(), "timeout") {
			i.t.Fatalf("connection %d is still open", k)
		}
	}
}
