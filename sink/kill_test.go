package sink_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/switchyard-im/switchyard/dispatch/storetest"
	"github.com/switchyard-im/switchyard/sink"
	"github.com/switchyard-im/switchyard/sink/killtest"
)

// killEnv makes the test binary a writer that is to be killed; its value is "durability directory".
const killEnv = "SWITCHYARD_SINK_KILL"

// printer tells the parent what was acknowledged. A line is in the pipe, out of the reach of a kill, when Committed returns.
type printer struct {
	seq  uint64
	next chan struct{}
}

func (p printer) Committed(err error) {
	if err != nil {
		fmt.Println("error", err)
	}
	fmt.Println("acked", p.seq)
	<-p.next
}

// TestKillChild is the child of TestKill, and nothing by itself.
func TestKillChild(t *testing.T) {
	durability, dir, ok := strings.Cut(os.Getenv(killEnv), " ")
	if !ok {
		return
	}
	cfg := quiet(dir)
	cfg.Durability = sink.Durability(durability)
	cfg.MemTableSize = 1 << 20
	store, err := sink.OpenOn(vfs.Default, cfg)
	if err != nil {
		fmt.Println("error", err)
		os.Exit(1)
	}
	writeUntilKilled(store)
}

// writeUntilKilled writes message after message to the shard, goes on where it stands, and tells the parent what was acknowledged.
func writeUntilKilled(store *sink.Store) {
	s := newShard(1)
	seq, err := s.load(store)
	if err != nil {
		fmt.Println("error", err)
		os.Exit(1)
	}
	inFlight := make(chan struct{}, 16)
	for {
		inFlight <- struct{}{}
		seq++
		tx := store.Begin(store.Generation())
		tx.Messages(s.a, seq, seq, storetest.Messages(s.a, seq, seq, 300))
		tx.Messages(s.b, seq, seq, storetest.Messages(s.b, seq, seq, 300))
		tx.Conversation(s.a, state(seq), true)
		tx.Conversation(s.b, state(seq), true)
		tx.Memo(s.memo(), state(seq))
		tx.Commit(printer{seq, inFlight})
	}
}

// TestKill kills a writing process at random moments and starts it again on the same directory. What it acknowledged must be there.
func TestKill(t *testing.T) {
	for _, durability := range []sink.Durability{sink.DurabilitySync, sink.DurabilityUnsafeNoFsync} {
		t.Run(string(durability), func(t *testing.T) {
			rng := rand.New(rand.NewPCG(newSeed(t), 0))
			dir := t.TempDir()
			acked := uint64(0)
			for range 8 {
				acked = max(acked, killWriter(t, rng, durability, dir))
				cfg := quiet(dir)
				store, err := sink.OpenOn(vfs.Default, cfg)
				if err != nil {
					t.Fatal(err)
				}
				if err := newShard(1).verify(store, acked); err != nil {
					t.Error(err)
				}
				closeStore(t, store)
			}
			t.Logf("%d acknowledged", acked)
		})
	}
}

// killWriter runs a writer, kills it after some acknowledgements, and returns the last one.
func killWriter(t *testing.T, rng *rand.Rand, durability sink.Durability, dir string) (acked uint64) {
	t.Helper()
	child := killtest.Child{
		Test: "TestKillChild", Env: killEnv + "=" + string(durability) + " " + dir,
		After: rng.IntN(1500), Pause: time.Duration(rng.IntN(2000)) * time.Microsecond, // so that the kill falls anywhere within a commit
	}
	child.Run(t, func(line string) {
		if _, err := fmt.Sscanf(line, "acked %d", &acked); err != nil {
			t.Errorf("the writer says %q", line)
		}
	})
	return acked
}
