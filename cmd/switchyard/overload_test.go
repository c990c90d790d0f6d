package main

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/switchyard-im/switchyard/frame"
)

// TestMemoryLimitShedsConnections: a server far over its memory limit serves who is connected, and sends others away for a while.
func TestMemoryLimitShedsConnections(t *testing.T) {
	i := newInstallation(t, "--set", "overload.memory_limit=8MiB", "--set", "store.cache=1MiB", "--set", "store.memtable=1MiB")
	_, base := i.start()
	deadline := time.Now().Add(patience)
	w := i.login("w", frame.RoleVisitor) // the pressure rises over some tenths of a second
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
