package dispatch

import (
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/switchyard-im/switchyard/dispatch/core"
	"github.com/switchyard-im/switchyard/dispatch/desk"
	"github.com/switchyard-im/switchyard/dispatch/escalate"
	"github.com/switchyard-im/switchyard/frame"
)

// ledger is a store for one conversation, with a shard's machine that writes into it.
type ledger struct {
	Store // what is not here is not called

	machine *core.Machine
	told    func([]core.UnackedEvent, error)

	mu       sync.Mutex // guards all below
	refuses  bool
	conv     frame.ID
	state    []byte
	open     bool
	messages [][]byte
	records  map[string][]byte
	notices  []string
}

// ledgerTx is applied as a whole when it is committed, if the ledger takes it.
type ledgerTx struct {
	Tx
	ledger  *ledger
	changes []func()
}

func (l *ledger) Begin(uint64) Tx    { return &ledgerTx{ledger: l} }
func (l *ledger) Generation() uint64 { return 1 }
func (l *ledger) Available() bool    { l.mu.Lock(); defer l.mu.Unlock(); return !l.refuses }

func (t *ledgerTx) Escalation(_ frame.ID, user string, record []byte) {
	record = slices.Clone(record)
	t.changes = append(t.changes, func() {
		if t.ledger.records[user] = record; record == nil {
			delete(t.ledger.records, user)
		}
	})
}

func (t *ledgerTx) Notify(lane string, _ frame.ID, body []byte) {
	text := lane + " " + string(body)
	t.changes = append(t.changes, func() { t.ledger.notices = append(t.ledger.notices, text) })
}

func (t *ledgerTx) Commit(done Completion) {
	t.ledger.mu.Lock()
	refuses := t.ledger.refuses
	if !refuses {
		for _, change := range t.changes {
			change()
		}
	}
	t.ledger.mu.Unlock()
	go func() { // as the store's completion goroutine would
		if refuses {
			done.Committed(ErrUnavailable)
		} else {
			done.Committed(nil)
		}
	}()
}

func (l *ledger) LoadConversation(frame.ID, int) (state, tail []byte, ok bool, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.state, l.messages[len(l.messages)-1], true, nil
}

func (l *ledger) ReadAfter(dst []byte, _ frame.ID, after, upto uint64, _, _ int) (frames []byte, last uint64, n int, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, m := range l.messages[after:upto] {
		dst = append(dst, m...)
	}
	return dst, upto, int(upto - after), nil
}

func (l *ledger) Escalations(fn func(frame.ID, string, []byte) error) error {
	for user, record := range l.records {
		if err := fn(l.conv, user, record); err != nil {
			return err
		}
	}
	return nil
}

func (l *ledger) OpenConversations(fn func(frame.ID, []byte) error) error {
	if !l.open {
		return nil
	}
	return fn(l.conv, l.state)
}

// batch runs one of the shard's batches, keeps what it writes, and tells the escalation.
func (l *ledger) batch(do func(m *core.Machine)) {
	var e core.Effects
	l.machine.Begin(time.Now().UnixMilli(), true, &e)
	do(l.machine)
	l.machine.End()
	l.mu.Lock()
	for _, w := range e.Writes {
		switch w.Op {
		case core.PutMessages:
			for frames := w.Data; len(frames) > 0; {
				_, f, rest, _ := frame.Next(frames)
				l.messages, frames = append(l.messages, slices.Clone(f)), rest
			}
		case core.PutConversation:
			l.state, l.open, l.conv = slices.Clone(w.Data), w.Open, w.Conv
		case core.PutUnacked:
			l.records[""] = closedNote
		}
	}
	l.mu.Unlock()
	l.told(e.Unacked, nil)
}

var (
	annOfLedger = core.Origin{Conn: 1, Who: &core.Identity{User: "ann", Role: frame.RoleVisitor}}
	bobOfLedger = core.Origin{Conn: 2, Who: &core.Identity{User: "bob", Role: frame.RoleAgent}}
)

// begin opens the conversation and gives it to bob.
func (l *ledger) begin() {
	open := frame.Open{Ref: 1, Key: frame.ID{1}, Group: []byte("g")}
	conv := core.ConversationID("ann", open.Key)
	l.batch(func(m *core.Machine) {
		m.Frame(annOfLedger, frame.TypeOpen, open.Append(nil), 1)
		m.Loaded(conv, nil, nil, false, nil)
	})
	l.batch(func(m *core.Machine) { m.Decide(conv, core.Decision{Kind: desk.Assign, Group: "g", Agent: "bob"}) })
}

// say is a message of ann's.
func (l *ledger) say(text string) {
	l.batch(func(m *core.Machine) {
		send := frame.Send{Ref: 2, Conv: l.conv, Level: 1, Body: append([]byte{0xa0 | byte(len(text))}, text...)}
		m.Frame(annOfLedger, frame.TypeSend, send.Append(nil), 1)
	})
}

func (l *ledger) ack(seq uint64) {
	l.batch(func(m *core.Machine) {
		m.Frame(bobOfLedger, frame.TypeDelivered, (&frame.Mark{Type: frame.TypeDelivered, Conv: l.conv, Seq: seq}).Append(nil), 1)
	})
}

func (l *ledger) set(refuses bool) { l.mu.Lock(); defer l.mu.Unlock(); l.refuses = refuses }

func (l *ledger) written() (notices []string, records int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.notices), len(l.records)
}

// newLedger is an empty one, and serve starts the escalation on it; both within a bubble of synctest.
func newLedger() *ledger {
	return &ledger{machine: core.New(core.Config{Escalate: core.Escalate{Staff: true}}), records: map[string][]byte{}}
}

func (l *ledger) serve(t *testing.T) (e *escalation, stop func()) {
	t.Helper()
	conv := l.conv
	c := &Center{store: l, log: slog.New(slog.DiscardHandler), cfg: Config{Escalation: EscalationConfig{
		Policies: map[string][]escalate.Step{"p": {
			{Name: "first", After: 10 * time.Second, Channel: "page", Digest: true}, {Name: "second", After: 20 * time.Second, Channel: "mail", Digest: true}}},
		Default: EscalationPolicies{Staff: "p"}, Grace: 5 * time.Second,
		Notice: func(f escalate.Effect) []byte { return fmt.Appendf(nil, "%s %d-%d", f.User, f.First, f.Last) },
		Queued: func() (map[string]bool, error) {
			queued := map[string]bool{}
			for seq := range uint64(100) { // nothing is ever sent
				for _, step := range []string{"first", "second"} {
					queued[escalate.NotificationID(conv, "agent/bob", step, seq)] = true
				}
			}
			return queued, nil
		},
	}}}
	e, err := newEscalation(c)
	if err == nil {
		err = e.load()
	}
	if err != nil {
		t.Fatal(err)
	}
	c.escalation, l.told = e, e.told
	var wait sync.WaitGroup
	wait.Go(e.run)
	wait.Go(func() {
		for {
			select {
			case <-e.quit:
				return
			case <-time.After(time.Second):
				e.tick()
			}
		}
	})
	return e, func() { close(e.quit); e.waker.wake(); wait.Wait() }
}

func wantNotices(t *testing.T, l *ledger, records int, want ...string) {
	t.Helper()
	synctest.Wait()
	if got, n := l.written(); !slices.Equal(got, want) || n != records {
		t.Errorf("notices %q and %d records, want %q and %d", got, n, want, records)
	}
}

// TestEscalationSteps: each step fires once, by its channel, at its time; what is acked in time, and what was acked before the later step, does not fire, and leaves
// no record.
func TestEscalationSteps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLedger()
		_, stop := l.serve(t)
		defer stop()
		l.begin()
		l.say("one") // 3
		time.Sleep(5 * time.Second)
		l.ack(3)
		time.Sleep(time.Minute)
		wantNotices(t, l, 0)
		l.say("two") // 4
		l.say("three")
		time.Sleep(12 * time.Second)
		wantNotices(t, l, 1, "page agent/bob 4-5")
		time.Sleep(time.Minute)
		wantNotices(t, l, 1, "page agent/bob 4-5", "mail agent/bob 4-5")
		l.ack(5)
		wantNotices(t, l, 0, "page agent/bob 4-5", "mail agent/bob 4-5")
	})
}

// TestEscalationRepeatsWhatIsRefused: while the store refuses, nothing is written, and nothing is lost or written twice when it takes it again; an ack
// that comes meanwhile counts for those who send, though the store does not have it.
func TestEscalationRepeatsWhatIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLedger()
		e, stop := l.serve(t)
		defer stop()
		l.begin()
		l.say("one") // 3
		l.set(true)
		time.Sleep(15 * time.Second)
		wantNotices(t, l, 0)
		l.set(false)
		time.Sleep(2 * time.Second)
		wantNotices(t, l, 1, "page agent/bob 3-3")
		l.set(true)
		time.Sleep(10 * time.Second) // the second step is due, and refused
		l.ack(3)
		synctest.Wait()
		if seq, ok, err := e.center.Acked(l.conv, "agent/bob"); seq != 3 || !ok || err != nil {
			t.Errorf("acked %d, %v, %v: the ack is lost on those who send", seq, ok, err)
		}
		l.set(false)
		time.Sleep(3 * time.Second)
		wantNotices(t, l, 0, "page agent/bob 3-3", "mail agent/bob 3-3")
		if _, ok, err := e.center.Acked(l.conv, "agent/eve"); ok || err != nil {
			t.Errorf("eve has to ack: %v, %v", ok, err)
		}
	})
}

// TestEscalationRestarts: what was fired does not fire again, what was not fires after the grace; and what was missed in a conversation that was closed just before
// the crash is known by the note.
func TestEscalationRestarts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLedger()
		_, stop := l.serve(t)
		l.begin()
		l.say("one") // 3
		time.Sleep(12 * time.Second)
		wantNotices(t, l, 1, "page agent/bob 3-3")
		l.say("two") // 4
		synctest.Wait()
		stop()
		time.Sleep(time.Hour)
		_, stop = l.serve(t)
		time.Sleep(3 * time.Second)
		wantNotices(t, l, 1, "page agent/bob 3-3")
		time.Sleep(3 * time.Second)
		wantNotices(t, l, 1, "page agent/bob 3-3", "page agent/bob 4-4", "mail agent/bob 3-4")
		l.say("the last")                            // 5
		l.told = func([]core.UnackedEvent, error) {} // the crash comes before the escalation hears of it
		l.batch(func(m *core.Machine) {
			m.Frame(annOfLedger, frame.TypeClose, (&frame.Close{Ref: 3, Conv: l.conv}).Append(nil), 1)
		})
		synctest.Wait()
		stop()
		if _, noted := l.records[""]; !noted || l.open {
			t.Fatalf("there is no note that the conversation was closed: %q", l.records)
		}
		_, stop = l.serve(t)
		defer stop()
		time.Sleep(time.Minute)
		wantNotices(t, l, 1, "page agent/bob 3-3", "page agent/bob 4-4", "mail agent/bob 3-4", "page agent/bob 5-5", "mail agent/bob 5-5")
	})
}

// TestEscalationIsOff: without policies there is nothing that could cost anything.
func TestEscalationIsOff(t *testing.T) {
	if e, err := newEscalation(&Center{}); e != nil || err != nil {
		t.Errorf("%v, %v", e, err)
	}
	l := newLedger()
	l.machine = core.New(core.Config{})
	l.told = func(events []core.UnackedEvent, _ error) {
		if len(events) > 0 {
			t.Errorf("%+v", events)
		}
	}
	l.begin()
	l.say("one")
	l.ack(3)
}

// TestEscalationForgets: of a user who was erased nothing is kept, and nobody is told.
func TestEscalationForgets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLedger()
		e, stop := l.serve(t)
		defer stop()
		l.begin()
		l.say("one") // 3
		time.Sleep(12 * time.Second)
		wantNotices(t, l, 1, "page agent/bob 3-3")
		e.forget("bob", []frame.ID{l.conv})
		time.Sleep(time.Minute)
		wantNotices(t, l, 0, "page agent/bob 3-3")
	})
}

// BenchmarkEscalationAckedInTime is what a message costs beside the shard that is acked in time, as nearly all are: a message of one of 1,000 conversations and its
// mark.
func BenchmarkEscalationAckedInTime(b *testing.B) {
	c := &Center{store: newLedger(), cfg: Config{Escalation: EscalationConfig{
		Policies: map[string][]escalate.Step{"p": {{Name: "first", After: time.Hour, Channel: "page"}}}, Default: EscalationPolicies{Visitors: "p"}}}}
	e, err := newEscalation(c)
	if err != nil {
		b.Fatal(err)
	}
	user := core.UserKey{Role: frame.RoleVisitor, Name: "ann"}
	b.ReportAllocs()
	for seq := uint64(1); b.Loop(); seq++ {
		conv := frame.ID{byte(seq), byte(seq >> 8 & 3)}
		e.told([]core.UnackedEvent{{Kind: core.UnackedSent, Conv: conv, Group: "g", User: user, Seq: seq, AtMS: now()}}, nil)
		e.told([]core.UnackedEvent{{Kind: core.UnackedMark, Conv: conv, Group: "g", User: user, Seq: seq}}, nil)
		for _, ev := range e.inbox.take() {
			e.event(&ev)
		}
		e.write(false)
	}
}
