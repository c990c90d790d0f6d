package main

import (
	"errors"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"github.com/switchyard-im/switchyard/frame"
)

// TestMemoryLimitShedsConnections: a server far over its memory limit serves who is connected, and sends others away for a while.
func TestMemoryLimitShedsConnections(t *testing.T) {
	i := newInstallation(t, "--set", "overload.memory_limit=8MiB", "--set", "store.cache=1MiB", "--set", "store.memtable=1MiB")
	w, base := connectEarly(i)
	deadline := time.Now().Add(patience)
	w.frames((&frame.Hello{Ref: 1, Token: i.token("w", frame.RoleVisitor, time.Hour)}).Append(nil))
	w.expect(frame.TypeWelcome)
	conv := w.open(1)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+i.listen+"/v1/ws", nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string]string{"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13",
		"Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Protocol": "switchyard.v1.json"} {
		req.Header.Set(name, value)
	}
	for {
		resp, err := http.DefaultTransport.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode == http.StatusServiceUnavailable {
			if resp.Header.Get("Retry-After") == "" {
				t.Error("503 without Retry-After")
			}
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("connections are taken over the memory limit")
		}
		time.Sleep(10 * time.Millisecond)
	}
	w.frames((&frame.Send{Ref: 3, Conv: conv, Level: 2, ID: frame.ID{1}, Base: 1, Body: frame.AppendText(nil, "x")}).Append(nil))
	w.expect(frame.TypeAck)
	if _, body := get(t, base+"/metrics"); !strings.Contains(body, "switchyard_pressure_level 4\n") || strings.Contains(body, `switchyard_shed_total{class="connections"} 0`+"\n") {
		t.Error("the metrics do not tell of it")
	}
}

// connectEarly starts the server and connects before it knows of its pressure, which takes it a tenth of a second. If that was too late, it
// starts the server again.
func connectEarly(i *installation) (w *wire, base string) {
	i.t.Helper()
	d := ws.Dialer{Protocols: []string{"switchyard.v1.msgpack"}, Timeout: patience}
	for deadline := time.Now().Add(patience); ; {
		p, base := i.start()
		conn, in, _, err := d.Dial(i.t.Context(), "ws://"+i.listen+"/v1/ws")
		if err == nil {
			return i.wrap(conn, in), base
		}
		if !errors.Is(err, ws.StatusError(http.StatusServiceUnavailable)) || time.Now().After(deadline) {
			i.t.Fatal(err)
		}
		p.signal(syscall.SIGKILL)
	}
}
