package sink_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/switchyard-im/switchyard/sink"
	"github.com/switchyard-im/switchyard/sink/killtest"
)

// outboxKillEnv makes the test binary a writer and shipper that is to be killed; its value is the directory.
const outboxKillEnv = "SWITCHYARD_SINK_OUTBOX_KILL"

// TestOutboxKillChild is the child of TestOutboxKill, and nothing by itself.
func TestOutboxKillChild(t *testing.T) {
	dir := os.Getenv(outboxKillEnv)
	if dir == "" {
		return
	}
	cfg := withOutbox(quiet(dir))
	cfg.MemTableSize = 1 << 20
	store, err := sink.OpenOn(vfs.Default, cfg)
	if err != nil {
		fmt.Println("error", err)
		os.Exit(1)
	}
	go shipToParent(store.Outbox())
	writeUntilKilled(store)
}

// shipToParent prints each range, which is in the pipe and out of the reach of a kill before it is shipped, until the process is killed.
func shipToParent(o *sink.Outbox) {
	for {
		if err := shipOnce(context.Background(), o, pipe{}, 5); err != nil {
			fmt.Println("error", err)
		}
		_ = o.Wait(context.Background(), o.ShippedUpTo())
	}
}

// TestOutboxKill kills a process that writes and ships at random moments and starts it again on the same directory. What it shipped and what
// waits must be together each message once; a range that is sent again must be the same one.
func TestOutboxKill(t *testing.T) {
	rng := rand.New(rand.NewPCG(newSeed(t), 0))
	dir := t.TempDir()
	to, acked, again := newReceiver(), uint64(0), 0
	for range 8 {
		before, lines := len(to.order), 0
		acked = max(acked, killShipper(t, rng, dir, to, &lines))
		again += lines - (len(to.order) - before)
		store, err := sink.OpenOn(vfs.Default, withOutbox(quiet(dir)))
		if err != nil {
			t.Fatal(err)
		}
		s := newShard(1)
		if err := s.verify(store, acked); err != nil {
			t.Error(err)
		}
		if err := to.verify(store, []*shard{s}); err != nil {
			t.Error(err)
		}
		closeStore(t, store)
	}
	t.Logf("%d acknowledged, %d ranges, %d sent again", acked, len(to.order), again)
	if len(to.order) == 0 {
		t.Error("nothing was shipped")
	}
}

// killShipper runs a child, kills it after some lines, and passes on what it says; sends counts the ranges.
func killShipper(t *testing.T, rng *rand.Rand, dir string, to *receiver, sends *int) (acked uint64) {
	t.Helper()
	child := killtest.Child{
		Test: "TestOutboxKillChild", Env: outboxKillEnv + "=" + dir, After: rng.IntN(1000), Pause: time.Duration(rng.IntN(2000)) * time.Microsecond,
	}
	child.Run(t, func(line string) {
		var err error
		switch word, rest, _ := strings.Cut(line, " "); word {
		case "acked":
			_, err = fmt.Sscan(rest, &acked)
		case "range":
			*sends++
			err = parseRange(rest, to)
		default:
			err = fmt.Errorf("the child says %q", line)
		}
		if err != nil {
			t.Error(err)
		}
	})
	return acked
}

// pipe carries ranges to the parent, each in one line that is shorter than what a pipe takes whole; parseRange reads one.
type pipe struct{}

func (pipe) send(b batch) error {
	var line strings.Builder
	fmt.Fprint(&line, "range ", b.First, " ", b.Last)
	for _, m := range b.messages {
		fmt.Fprint(&line, " ", m.conv[0], " ", m.conv[1], " ", m.seq)
	}
	_, err := fmt.Println(line.String())
	return err
}

func parseRange(line string, to *receiver) error {
	var b batch
	in := strings.NewReader(line)
	if _, err := fmt.Fscan(in, &b.First, &b.Last); err != nil {
		return err
	}
	for in.Len() > 0 {
		var m sent
		if _, err := fmt.Fscan(in, &m.conv[0], &m.conv[1], &m.seq); err != nil {
			return fmt.Errorf("in %q: %w", line, err)
		}
		b.messages = append(b.messages, m)
	}
	return to.send(b)
}
