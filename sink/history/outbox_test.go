package history_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/switchyard-im/switchyard/frame"
	"github.com/switchyard-im/switchyard/sink"
	"github.com/switchyard-im/switchyard/sink/history"
)

// openStore opens a store with an outbox, as the server does.
func openStore(t testing.TB, dir string) (s *sink.Store, closeStore func()) {
	t.Helper()
	s, err := sink.Open(sink.Config{Dir: dir, Outbox: true, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	var once sync.Once
	closeStore = func() {
		once.Do(func() {
			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
			defer cancel()
			if err := s.Close(ctx); err != nil {
				t.Error(err)
			}
		})
	}
	t.Cleanup(closeStore)
	return s, closeStore
}

// committed is told how a transaction ended.
type committed chan error

func (c committed) Committed(err error) { c <- err }

// accept stores a message and waits until it is durable.
func accept(t testing.TB, s *sink.Store, m frame.Message) {
	t.Helper()
	done := make(committed, 1)
	tx := s.Begin(s.Generation())
	tx.Messages(m.Conv, m.Seq, m.Seq, m.Append(nil))
	tx.Commit(done)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

// load accepts messages in conversations of its own, each from one goroutine, until stop is called, which returns how many each got.
func load(t testing.TB, s *sink.Store, conversations int) (stop func() []uint64) {
	heads := make([]uint64, conversations)
	ctx, cancel := context.WithCancel(context.Background())
	var all sync.WaitGroup
	for i := range heads {
		all.Go(func() { // until stop, which waits
			for ctx.Err() == nil {
				accept(t, s, chat(i, heads[i]+1))
				heads[i]++
			}
		})
	}
	var once sync.Once
	stop = func() []uint64 {
		once.Do(func() { cancel(); all.Wait() })
		return heads
	}
	t.Cleanup(func() { stop() })
	return stop
}

// exactly checks that the history has the messages 1..heads[i] of each conversation i, each once, and byte for byte those of the load.
func exactly(t testing.TB, c *history.Client, heads []uint64) {
	t.Helper()
	for i, head := range heads {
		var want []byte
		for seq := range head {
			m := chat(i, seq+1)
			want = m.Append(want)
		}
		if got := stored(t, c, i); string(got) != string(want) {
			t.Errorf("conversation %d: %d messages were accepted, and the history has others: %d bytes instead of %d", i, head, len(got), len(want))
		}
	}
}

func TestStoreToHistory(t *testing.T) {
	c := open(t, shipping(t))
	s, _ := openStore(t, t.TempDir())
	run(t, c, s.Outbox())
	stop := load(t, s, 8)
	time.Sleep(200 * time.Millisecond)
	heads := stop()
	shipped(t, s.Outbox())
	exactly(t, c, heads)
}

// TestRestartsMidLoad: the shipper ends at random moments, with the store or alone, and another one goes on.
func TestRestartsMidLoad(t *testing.T) {
	c := migrated(t, shipping(t))
	dir := t.TempDir()
	heads := make([]uint64, 4)
	for range 3 {
		s, closeStore := openStore(t, dir)
		for range 3 {
			shipper, stopShipper := run(t, c, s.Outbox())
			some := func() {
				i := rand.IntN(len(heads))
				heads[i]++
				accept(t, s, chat(i, heads[i]))
			}
			some()
			// The tests' ClickHouse ends itself when a connection ends in the handshake, so the shipper may have its own first.
			eventually(t, "the shipper is connected", func() bool { return shipper.Status().Shipped > 0 })
			for range 50 {
				some()
			}
			time.Sleep(rand.N(30 * time.Millisecond))
			stopShipper()
		}
		closeStore()
	}
	s, _ := openStore(t, dir)
	run(t, c, s.Outbox())
	shipped(t, s.Outbox())
	exactly(t, c, heads)
}

// TestStatusAndBacklog: what waits shows while ClickHouse is not there, and the message path is not delayed: messages are accepted.
func TestStatusAndBacklog(t *testing.T) {
	cfg := shipping(t)
	cfg.Addresses = []string{"127.0.0.1:1"} // nobody listens there
	c := open(t, cfg)
	s, _ := openStore(t, t.TempDir())
	shipper, _ := run(t, c, s.Outbox())
	for seq := range uint64(10) {
		accept(t, s, chat(1, seq+1))
	}
	fault := failing(t, shipper)
	if st := shipper.Status(); fault.Class != history.ClassTransient || st.Backlog.Rows != 10 || st.Since.IsZero() || st.Shipped != 0 {
		t.Errorf("%+v", st)
	}
}

// TestDroppedHistoryIsRecorded: with an outbox that drops when it is full, messages and gaps in ClickHouse add up to what was accepted.
func TestDroppedHistoryIsRecorded(t *testing.T) {
	c := migrated(t, shipping(t))
	s, err := sink.Open(sink.Config{Dir: t.TempDir(), Outbox: true, OutboxMax: 1 << 20, OutboxFull: sink.OutboxDrop, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Close(context.Background()); err != nil {
			t.Error(err)
		}
	}()
	const accepted = 40
	for seq := range uint64(accepted) {
		m := chat(1, seq+1)
		m.Body = frame.AppendText(nil, strings.Repeat("x", 50_000))
		accept(t, s, m)
	}
	_, stop := run(t, c, s.Outbox())
	defer stop()
	eventually(t, "there is room again", func() bool { return distinct(t, c) > 10 && s.Outbox().Backlog().Rows == 0 })
	accept(t, s, chat(2, 1)) // which ends the gap
	shipped(t, s.Outbox())
	kept, lost := distinct(t, c), count(t, c, "SELECT sum(lost) FROM history_gaps FINAL")
	if kept+lost != accepted+1 || lost < 10 || count(t, c, "SELECT countIf(from_at > to_at OR source != '"+s.Outbox().Source()+"') FROM history_gaps FINAL") != 0 {
		t.Errorf("%d in the history and %d in gaps, of %d", kept, lost, accepted+1)
	}
}

// TestAStoreBegunAnew: a store is lost, and another one accepts messages under the same sequences, with fewer before them. They are what the history has then.
func TestAStoreBegunAnew(t *testing.T) {
	c := open(t, shipping(t))
	var want []byte
	for round := range 2 {
		s, closeStore := openStore(t, t.TempDir())
		if round == 0 {
			for seq := range uint64(5) {
				accept(t, s, chat(1, seq+1))
			}
		}
		m := chat(0, 1)
		m.Body = frame.AppendText(nil, fmt.Sprint("of store ", round))
		accept(t, s, m)
		want = m.Append(nil)
		_, stop := run(t, c, s.Outbox())
		shipped(t, s.Outbox())
		stop()
		closeStore()
	}
	if got := stored(t, c, 0); !bytes.Equal(got, want) {
		t.Errorf("the history has %q instead of %q", got, want)
	}
}
