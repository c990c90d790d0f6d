package main

import (
	"flag"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/switchyard-im/switchyard/bench/idle"
	"github.com/switchyard-im/switchyard/bench/observe"
)

// burstConns are the connections of TestMemoryReturnsAfterABurst; "make burst" gives 15,000.
var burstConns = flag.Int("burst.conns", 2000, "connections of TestMemoryReturnsAfterABurst")

// TestMemoryReturnsAfterABurst has every connection of an echo server send 64 KiB at once and be idle again. The memory that the system counts must
// return to within a tenth of what it was, by itself. The server is the one that ships, not the test's binary, since the race detector
// keeps notes of all memory that was ever used.
func TestMemoryReturnsAfterABurst(t *testing.T) {
	path := filepath.Join(t.TempDir(), "switchyard")
	if out, err := exec.Command("go", "build", "-o", path, ".").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	p, line := startBinary(t, path, "echo server ready", "echo", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0")
	pid := p.cmd.Process.Pid
	report, err := idle.Run(t.Context(), idle.Config{
		URL: "ws://" + line["address"].(string) + "/ws", State: idle.Upgraded, Conns: *burstConns, Settle: 200 * time.Millisecond, Hold: time.Millisecond,
		Burst: 64 << 10, Server: observe.New(pid, ""), Admin: "http://" + line["admin"].(string),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d connections, RSS %d bytes before; %v", report.Conns, report.RSSAfter, report.Burst)
	if least := report.RSSAfter + int64(*burstConns)*(4<<10); report.Burst.RSSPeak < least {
		t.Errorf("the burst took the RSS to %d bytes only, want %d at least for it to prove anything", report.Burst.RSSPeak, least)
	}
	if !report.Burst.Returned {
		t.Errorf("RSS is %d bytes after %.0f s, and was %d before the burst", report.Burst.RSSAfter, report.Burst.Return, report.RSSAfter)
	}
}
