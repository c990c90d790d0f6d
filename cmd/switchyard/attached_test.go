package main

import (
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/switchyard-im/switchyard/bench/idle"
	"github.com/switchyard-im/switchyard/bench/observe"
	"github.com/switchyard-im/switchyard/bench/token"
)

// TestAttachedConnectionIsSmall restarts a server under clients that then come back to their conversations, and counts what each leaves in the heap,
// which does not depend on how busy the machine is, as resident memory does. The conversation adds no object of its own to the five of an
// authenticated connection; it added three, and one more is what so few connections share.
func TestAttachedConnectionIsSmall(t *testing.T) {
	t.Parallel() // most of it is waiting for the machine
	const conns, maxObjects = 2000, 7.2
	path, dir := shippedBinary(t), t.TempDir()
	var report *idle.Report
	for range 2 { // the first makes the conversations
		p, line := startBinary(t, path, "ready", "serve", "--dev", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--data", dir)
		key, err := token.Load(filepath.Join(dir, "token.key"))
		if err != nil {
			t.Fatal(err)
		}
		report, err = idle.Run(t.Context(), idle.Config{
			URL: "ws://" + line["address"].(string) + "/v1/ws", State: idle.Attached, Key: key, Admin: "http://" + line["admin"].(string),
			Conns: conns, Settle: 200 * time.Millisecond, Hold: time.Millisecond, Server: observe.New(p.cmd.Process.Pid, ""),
		})
		if err != nil {
			t.Fatal(err)
		}
		if status, by := p.signal(syscall.SIGTERM); status != 0 {
			t.Fatalf("the server ended with %d, %v:\n%s", status, by, p.text())
		}
	}
	t.Logf("%.2f objects and %.0f bytes in the heap, %.0f bytes of RSS per connection", report.ObjsPerConn, report.HeapPerConn, report.BytesPerConn)
	if report.ObjsPerConn > maxObjects {
		t.Errorf("%.2f objects for each connection, want %g at most", report.ObjsPerConn, maxObjects)
	}
}
