package main

import (
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/switchyard-im/switchyard/bench/idle"
	"github.com/switchyard-im/switchyard/bench/observe"
	"github.com/switchyard-im/switchyard/bench/token"
)

// burstConns are the connections of TestMemoryReturnsAfterABurst; "make burst" gives 15,000. To the server that stores what they send there are fewer.
var burstConns = flag.Int("burst.conns", 8000, "connections of TestMemoryReturnsAfterABurst; up to 8,000, a quarter of them to the server that stores")

// serveBurst is the bytes of each message: with what is around it in a frame it fits the 64 KiB that a server takes.
const serveBurst = 60 << 10

// echoBurst is what each sends to the echo server, half a gigabyte in all and more. A message that fits the kernel's buffers may come and go at once, so
// that the server needs no memory for it.
const echoBurst = 64 << 10

// storedConns are the connections to the server that stores.
func storedConns() int {
	if *burstConns <= 8000 {
		return *burstConns / 4
	}
	return *burstConns
}

// TestMemoryReturnsAfterABurst has every connection send a large message at once and be idle again: to an echo server, and to one that stores
// them, with a conversation each. The memory that the system counts must return to within a tenth of what it was, by itself. The server
// is the one that ships, not the test's binary, since the race detector keeps notes of all memory that was ever used.
func TestMemoryReturnsAfterABurst(t *testing.T) {
	path := shippedBinary(t)
	t.Run("echo", func(t *testing.T) {
		p, line := startBinary(t, path, "echo server ready", "echo", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0")
		testBurst(t, p, idle.Config{URL: "ws://" + line["address"].(string) + "/ws", Conns: *burstConns, State: idle.Upgraded, Burst: echoBurst, Admin: "http://" + line["admin"].(string)})
	})
	t.Run("serve", func(t *testing.T) {
		dir := t.TempDir()
		p, line := startBinary(t, path, "ready", "serve", "--dev", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--data", dir)
		key, err := token.Load(filepath.Join(dir, "token.key"))
		if err != nil {
			t.Fatal(err)
		}
		testBurst(t, p, idle.Config{URL: "ws://" + line["address"].(string) + "/v1/ws", State: idle.Attached, Conns: storedConns(), Key: key, Burst: serveBurst, Admin: "http://" + line["admin"].(string)})
	})
}

// shippedBinary builds the server as it ships.
func shippedBinary(t *testing.T) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "switchyard")
	build := exec.Command("go", "build", "-o", path, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return path
}

func testBurst(t *testing.T, p *process, cfg idle.Config) {
	cfg.Settle, cfg.Hold = 200*time.Millisecond, time.Millisecond
	cfg.Server = observe.New(p.cmd.Process.Pid, "")
	report, err := idle.Run(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d connections, RSS %d bytes before; %v", report.Conns, report.RSSAfter, report.Burst)
	if least := report.RSSAfter * 13 / 10; report.Burst.RSSPeak < least { // more, if the clients are fast
		t.Errorf("the burst took the RSS to %d bytes only, want %d at least for it to prove anything", report.Burst.RSSPeak, least)
	}
	if !report.Burst.Returned {
		t.Errorf("RSS is %d bytes after %.0f s, and was %d before the burst", report.Burst.RSSAfter, report.Burst.Return, report.RSSAfter)
	}
}
