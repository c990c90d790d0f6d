package sink_test

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/switchyard-im/switchyard/dispatch/storetest"
	"github.com/switchyard-im/switchyard/sink"
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
	fmt.Println(p.seq)
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
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, os.Args[0], "-test.run=^TestKillChild$")
	cmd.Env = append(os.Environ(), killEnv+"="+string(durability)+" "+dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	killAt, lines := 1+rng.IntN(1500), 0
	pause := time.Duration(rng.IntN(2000)) * time.Microsecond // so that the kill falls anywhere within a commit
	for scanner := bufio.NewScanner(out); scanner.Scan(); {
		seq, err := strconv.ParseUint(scanner.Text(), 10, 64)
		if err != nil {
			t.Errorf("the writer says %q", scanner.Text())
			continue
		}
		acked = seq
		if lines++; lines == killAt {
			time.AfterFunc(pause, func() { _ = cmd.Process.Kill() })
		}
	}
	_ = cmd.Wait()
	return acked
}
