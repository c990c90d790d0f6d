package main

import (
	"bytes"
	"context"
	"log/slog"
	"math/rand/v2"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/switchyard-im/switchyard/frame"
	"github.com/switchyard-im/switchyard/sink"
	"github.com/switchyard-im/switchyard/sink/history"
	"github.com/switchyard-im/switchyard/sink/history/chtest"
)

// TestHistoryOverKills kills the server, ClickHouse, or both at random moments while visitors and agents chat. In the end ClickHouse has, of each conversation,
// what the server has accepted, each message once, byte for byte.
func TestHistoryOverKills(t *testing.T) {
	const pairs, rate = 20, 1000
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))

	ch := chtest.Start(t)
	database := ch.Database(t)
	i := newInstallation(t, append(withClickhouse(ch.Addr, database), "--set", "history.batch_rows=200")...)
	p, _ := i.start()
	load := i.chat(pairs, rate, patience)
	for _, victims := range shuffled(rnd, "server", "server", "clickhouse", "clickhouse", "both", "both") {
		time.Sleep(time.Duration(rnd.Int64N(int64(500 * time.Millisecond)))) // the moment is the test's input
		if victims != "server" {
			ch.Kill()
			time.Sleep(time.Duration(rnd.Int64N(int64(200 * time.Millisecond))))
		}
		if victims != "clickhouse" {
			if _, by := p.signal(syscall.SIGKILL); by != syscall.SIGKILL {
				t.Fatalf("the server ended by %v", by)
			}
			p, _ = i.start()
		}
		if victims != "server" {
			ch.Restart()
		}
	}
	ch.Restart() // it may have ended by itself when a server was killed in a handshake, see chtest
	accepted := load.report().Accepted
	i.awaitShipped()
	if status, by := p.signal(syscall.SIGTERM); status != exitOK {
		t.Fatalf("after SIGTERM: status %d, signal %v", status, by)
	}
	if chats := compareHistory(t, i, ch.Addr, database, pairs); int64(chats) != accepted {
		t.Errorf("%d messages were accepted, and the history has %d", accepted, chats)
	}
}

func shuffled[T any](rnd *rand.Rand, values ...T) []T {
	rnd.Shuffle(len(values), func(i, j int) { values[i], values[j] = values[j], values[i] })
	return values
}

// awaitShipped waits until the server's outbox is empty.
func (i *installation) awaitShipped() {
	i.t.Helper()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if _, body := get(i.t, i.admin+"/metrics"); strings.Contains(body, "\nswitchyard_sink_outbox_rows 0\n") {
			return
		}
	}
	i.t.Fatal("the outbox does not become empty")
}

// compareHistory compares what ClickHouse has with the store of a server that has ended, and returns how many messages are chat.
func compareHistory(t *testing.T, i *installation, address, database string, conversations int) (chats int) {
	t.Helper()
	store, err := sink.Open(sink.Config{Dir: i.dir, Outbox: true, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := store.Close(context.Background()); err != nil {
			t.Error(err)
		}
	}()
	c, err := history.Open(history.Config{Addresses: []string{address}, Database: database})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	var ids []uuid.UUID
	if err := c.Reads().QueryRow(t.Context(), "SELECT groupUniqArray(conv_id) FROM messages").Scan(&ids); err != nil || len(ids) != conversations {
		t.Fatalf("%d conversations instead of %d: %v", len(ids), conversations, err)
	}
	for _, id := range ids {
		const all = 1 << 30
		want, _, _, err := store.ReadAfter(nil, frame.ID(id), 0, all, all, all)
		if err != nil {
			t.Fatal(err)
		}
		got, _, err := c.PageAfter(t.Context(), nil, frame.ID(id), 0, all, 100_000, all)
		if err != nil {
			t.Fatal(err)
		}
		inHistory, n := summary(t, got)
		if inStore, _ := summary(t, want); !bytes.Equal(got, want) {
			t.Errorf("conversation %v: the history has other messages than the store: their sequences are\n%v and\n%v", id, inHistory, inStore)
		}
		chats += n
	}
	return chats
}

// summary returns the sequences of messages, and how many of them are chat.
func summary(t *testing.T, frames []byte) (sequences []uint64, chats int) {
	t.Helper()
	for len(frames) > 0 {
		_, f, rest, err := frame.Next(frames)
		if err != nil {
			t.Fatal(err)
		}
		var m frame.Message
		if err := m.Parse(f); err != nil {
			t.Fatal(err)
		}
		sequences = append(sequences, m.Seq)
		if m.Kind == frame.KindChat {
			chats++
		}
		frames = rest
	}
	return sequences, chats
}
