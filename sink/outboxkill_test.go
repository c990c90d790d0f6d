package sink_test

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/switchyard-im/switchyard/dispatch/storetest"
	"github.com/switchyard-im/switchyard/sink"
)

// outboxKillEnv makes the test binary a writer and shipper that is to be killed; its value is the directory.
const outboxKillEnv = "SWITCHYARD_SINK_OUTBOX_KILL"

// ackPrinter tells the parent what was acknowledged.
type ackPrinter struct {
	seq  uint64
	next chan struct{}
}

func (p ackPrinter) Committed(err error) {
	if err != nil {
		fmt.Println("error", err)
	}
	fmt.Println("acked", p.seq)
	<-p.next
}

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
		tx.Commit(ackPrinter{seq, inFlight})
	}
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
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, os.Args[0], "-test.run=^TestOutboxKillChild$")
	cmd.Env = append(os.Environ(), outboxKillEnv+"="+dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	killAt, lines := 1+rng.IntN(1000), 0
	pause := time.Duration(rng.IntN(2000)) * time.Microsecond
	scanner := bufio.NewScanner(out)
	for scanner.Buffer(nil, 1<<20); scanner.Scan(); {
		switch word, rest, _ := strings.Cut(scanner.Text(), " "); word {
		case "acked":
			_, err = fmt.Sscan(rest, &acked)
		case "range":
			*sends++
			err = parseRange(rest, to)
		default:
			err = fmt.Errorf("the child says %q", scanner.Text())
		}
		if err != nil {
			t.Error(err)
		}
		if lines++; lines == killAt {
			time.AfterFunc(pause, func() { _ = cmd.Process.Kill() })
		}
	}
	_ = cmd.Wait()
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
