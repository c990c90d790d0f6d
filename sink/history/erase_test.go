package history_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"strings"
	"testing"

	"github.com/switchyard-im/switchyard/frame"
	"github.com/switchyard-im/switchyard/sink"
	"github.com/switchyard-im/switchyard/sink/history"
)

// memberState is the state record of these tests: the names of those who took part, each behind a comma.
func memberState(_ frame.ID, state []byte, user string) (to []byte, ok bool, err error) {
	to = bytes.ReplaceAll(state, []byte(","+user), []byte(","))
	return to, !bytes.Equal(to, state), nil
}

// erasing is a store with a history, and an eraser for both.
type erasing struct {
	store  *sink.Store
	client *history.Client
	eraser *history.Eraser
}

func newErasing(t *testing.T, cfg history.Config, dir string) *erasing {
	t.Helper()
	c := migrated(t, cfg)
	s, _ := openStore(t, dir)
	shipper, _ := run(t, c, s.Outbox())
	e := history.NewEraser(s, memberState)
	e.Client, e.Shipper, e.Outbox = c, shipper, s.Outbox()
	return &erasing{s, c, e}
}

// opened is by eve, who tells of herself.
var opened, _ = frame.AppendBody(nil, map[string]any{"event": "opened", "group": "eve", "by": "eve", "subject": "secret", "attributes": map[string]string{"email": "eve@secret"}})

// said is message seq of conversation i, of which eve writes every other; the first and the last are events.
func said(i int, seq, last uint64) frame.Message {
	m := chat(i, seq)
	switch {
	case seq == 1:
		m.Kind, m.Sender, m.ID, m.Body = frame.KindEvent, nil, frame.ID{}, opened
	case seq == 2:
		m.Kind, m.Sender, m.ID, m.Body = frame.KindEvent, nil, frame.ID{}, frame.AppendEvent(nil, "assigned", "agent", "steve", "reason", "least_active")
	case seq == last:
		m.Kind, m.Sender, m.ID = frame.KindEvent, nil, frame.ID{}
		m.Body, _ = frame.AppendBody(nil, map[string]any{"event": "rated", "by": "eve", "rating": 4, "comment": "eve says secret"})
	case seq%2 == 0:
		m.Sender, m.Body = []byte("eve"), frame.AppendText(nil, fmt.Sprintf("secret %d", seq))
	default:
		m.Sender = []byte("steve")
	}
	return m
}

// withoutEve is what must be left of it.
func withoutEve(m frame.Message, last uint64) frame.Message {
	switch {
	case m.Seq == 1:
		m.Body, _ = frame.AppendBody(nil, map[string]any{"event": "opened", "group": "eve", "by": "erased"})
	case m.Seq == last:
		m.Body, _ = frame.AppendBody(nil, map[string]any{"event": "rated", "by": "erased", "rating": 4})
	case string(m.Sender) == "eve":
		m.Sender, m.ID, m.Body = []byte("erased"), frame.ID{}, nil
	}
	return m
}

// talk puts conversations of so many messages each into the store, and closes them.
func (e *erasing) talk(t *testing.T, convs int, last uint64, open bool) {
	t.Helper()
	for i := range convs {
		done := make(committed, 1)
		tx := e.store.Begin(e.store.Generation())
		for seq := uint64(1); seq <= last; seq++ {
			m := said(i, seq, last)
			tx.Messages(m.Conv, seq, seq, m.Append(nil))
		}
		tx.Conversation(chat(i, 1).Conv, []byte(",steve,eve,"), open)
		tx.Commit(done)
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
}

// check compares all bytes in the store and in ClickHouse with what must be left.
func (e *erasing) check(t *testing.T, convs int, last uint64) {
	t.Helper()
	for i := range convs {
		var want []byte
		for seq := uint64(1); seq <= last; seq++ {
			m := withoutEve(said(i, seq, last), last)
			want = m.Append(want)
		}
		got, _, _, err := e.store.ReadAfter(nil, chat(i, 1).Conv, 0, math.MaxUint64, math.MaxInt, math.MaxInt)
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("conversation %d in the store: %v\n%q\n%q", i, err, got, want)
		}
		if got := stored(t, e.client, i); !bytes.Equal(got, want) {
			t.Errorf("conversation %d in ClickHouse:\n%q\n%q", i, got, want)
		}
		if state, _, _, err := e.store.LoadConversation(chat(i, 1).Conv, 1); err != nil || string(state) != ",steve,," {
			t.Errorf("conversation %d has the record %q, %v", i, state, err)
		}
	}
	for _, q := range []string{
		"SELECT count() FROM messages WHERE sender = 'eve' OR text LIKE '%secret%' OR body LIKE '%secret%'",
		"SELECT count() FROM messages WHERE kind = 1 AND position(body, '\xa2by\xa3eve') > 0",
		"SELECT count() FROM messages WHERE hasToken(text, 'secret')",
		"SELECT count() FROM conversation_events WHERE 'eve' IN (visitor, agent, actor) OR comment != ''",
	} {
		if n := count(t, e.client, q); n != 0 {
			t.Errorf("%d rows: %s", n, q)
		}
	}
}

func TestErase(t *testing.T) {
	e := newErasing(t, shipping(t), t.TempDir())
	const convs, last = 40, 12
	e.talk(t, convs, last, false)
	shipped(t, e.store.Outbox())
	done, err := e.eraser.Erase(context.Background(), "eve")
	if err != nil || done.Messages != convs*(2+4) || done.Conversations != convs { // of rows in ClickHouse a merge may leave none to rewrite
		t.Errorf("%+v, %v", done, err)
	}
	e.check(t, convs, last)
	if n := count(t, e.client, "SELECT count() FROM conversation_events FINAL WHERE actor = 'erased'"); n != 2*convs {
		t.Errorf("%d events are of the one who was erased", n)
	}
	if again, err := e.eraser.Erase(context.Background(), "eve"); err != nil || again != (history.Erased{}) {
		t.Errorf("again: %+v, %v", again, err)
	}
}

// TestEraseOldRows: of messages that the store has let go of, ClickHouse keeps nothing either.
func TestEraseOldRows(t *testing.T) {
	cfg := shipping(t)
	e := newErasing(t, cfg, t.TempDir())
	const convs, last = 5, 12
	e.talk(t, convs, last, false)
	shipped(t, e.store.Outbox())
	empty, _ := openStore(t, t.TempDir())
	old := history.NewEraser(empty, memberState)
	old.Client, old.Shipper, old.Outbox = e.eraser.Client, e.eraser.Shipper, empty.Outbox()
	done, err := old.Erase(context.Background(), "eve")
	if err != nil || done.Messages != 0 || done.ClickhouseMessages != convs*(2+4) || done.ClickhouseEvents != 2*convs {
		t.Errorf("%+v, %v", done, err)
	}
	if _, err := e.eraser.Erase(context.Background(), "eve"); err != nil {
		t.Error(err)
	}
	e.check(t, convs, last)
}

// TestEraseRefuses what cannot be done whole, and says what to do.
func TestEraseRefuses(t *testing.T) {
	e := newErasing(t, shipping(t), t.TempDir())
	e.talk(t, 25, 4, true)
	var open *history.OpenError
	if _, err := e.eraser.Erase(context.Background(), "eve"); !errors.As(err, &open) || open.Count != 25 || len(open.Conversations) != 20 || !strings.Contains(err.Error(), "close them first") {
		t.Errorf("%v", err)
	}
	for _, user := range []string{"", "erased", strings.Repeat("x", frame.MaxName+1), "\xff"} {
		if _, err := e.eraser.Erase(context.Background(), user); !errors.Is(err, history.ErrUser) {
			t.Errorf("%q: %v", user, err)
		}
	}
	if _, err := e.eraser.Erase(context.Background(), "nobody"); err != nil {
		t.Error(err)
	}
}

// TestEraseWithoutClickhouse: nothing is touched while it is away; without one at all the store alone is erased.
func TestEraseWithoutClickhouse(t *testing.T) {
	cfg := shipping(t)
	e := newErasing(t, cfg, t.TempDir())
	e.talk(t, 2, 4, false)
	cfg.Addresses = []string{"127.0.0.1:1"}
	away := history.NewEraser(e.store, memberState)
	away.Client, away.Outbox = open(t, cfg), e.store.Outbox()
	away.Shipper, _ = run(t, away.Client, &memoryFeed{})
	failing(t, away.Shipper)
	var fault *history.Fault
	if done, err := away.Erase(context.Background(), "eve"); !errors.As(err, &fault) || done != (history.Erased{}) {
		t.Errorf("%+v, %v", done, err)
	}
	if done, err := history.NewEraser(e.store, memberState).Erase(context.Background(), "eve"); err != nil || done.Messages != 2*2 || done.Conversations != 2 {
		t.Errorf("%+v, %v", done, err)
	}
	shipped(t, e.store.Outbox()) // so that the shipper does not go away in its handshake, which the ClickHouse of the tests may not survive, see chtest
}

// TestEraseBesideALoad: while others talk on, what they say is there byte for byte, and the erasure finds all that was there when it began.
func TestEraseBesideALoad(t *testing.T) {
	e := newErasing(t, shipping(t), t.TempDir())
	const convs, last = 10, 12
	stop := e.elsewhere(t)
	e.talk(t, convs, last, false)
	if _, err := e.eraser.Erase(context.Background(), "eve"); err != nil {
		t.Error(err)
	}
	n := stop()
	shipped(t, e.store.Outbox())
	e.check(t, convs, last)
	var want []byte
	for seq := uint64(1); seq <= n; seq++ {
		m := chat(1000, seq)
		want = m.Append(want)
	}
	if got := stored(t, e.client, 1000); !bytes.Equal(got, want) {
		t.Error("the conversation of others was changed")
	}
}

// elsewhere talks in a conversation of others until stop, which returns its head.
func (e *erasing) elsewhere(t *testing.T) (stop func() uint64) {
	ctx, cancel := context.WithCancel(context.Background())
	head, ended := uint64(0), make(chan struct{})
	go func() { // until stop, which waits
		defer close(ended)
		for ctx.Err() == nil {
			accept(t, e.store, chat(1000, head+1))
			head++
		}
	}()
	t.Cleanup(cancel)
	return func() uint64 { cancel(); <-ended; return head }
}

// TestEraseInterrupted ends it at moments that grow, and begins again.
func TestEraseInterrupted(t *testing.T) {
	e := newErasing(t, shipping(t), t.TempDir())
	const convs, last = 5, 8
	e.talk(t, convs, last, false)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := e.eraser.Erase(ctx, "eve"); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	if _, err := e.eraser.Erase(context.Background(), "eve"); err != nil {
		t.Error(err)
	}
	e.check(t, convs, last)
}

// TestEraseDeadLetters: the file keeps the lines of others as they are, and of the user neither text nor cause.
func TestEraseDeadLetters(t *testing.T) {
	cfg := shipping(t)
	e := newErasing(t, cfg, t.TempDir())
	exec(t, e.client.Reads(), "ALTER TABLE messages ADD CONSTRAINT no_poison CHECK NOT match(text, 'poison')")
	for seq, sender := range []string{"eve", "steve", "eve"} {
		m := chat(1, uint64(seq+1))
		m.Sender, m.Body = []byte(sender), frame.AppendText(nil, "poison of "+sender)
		accept(t, e.store, m)
	}
	eventually(t, "three are dead", func() bool { return e.eraser.Shipper.Status().Dead == 3 })
	done, err := e.eraser.Erase(context.Background(), "eve")
	if err != nil || done.DeadLetters < 2 {
		t.Errorf("%+v, %v", done, err)
	}
	text, err := os.ReadFile(cfg.DeadLetters)
	if err != nil || bytes.Contains(text, []byte(`"eve"`)) || bytes.Contains(text, []byte("of eve")) || !bytes.Contains(text, []byte("poison of steve")) {
		t.Errorf("%s %v", text, err)
	}
	if err := os.WriteFile(cfg.DeadLetters+".replaying", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := e.eraser.Erase(context.Background(), "eve"); err == nil || !strings.Contains(err.Error(), "replay-dead") {
		t.Errorf("beside a replay: %v", err)
	}
}
