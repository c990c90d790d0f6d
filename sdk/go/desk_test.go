package switchyard

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/switchyard-im/switchyard/frame"
)

// asAgent is a welcome for the agent bob.
func asAgent() *frame.Welcome {
	w := testWelcome()
	w.User, w.Role = []byte("bob"), []byte("agent")
	return w
}

// event makes a message of the server.
func event(seq uint64, e ServerEvent) *frame.Message {
	return &frame.Message{Conv: testConv, Seq: seq, Prev: seq - 1, TimeMS: 1000 + seq, Kind: frame.KindEvent, Body: raw(e)}
}

// served gives the agent testConv at a head.
func served(c *Client, p *peer, head uint64) *Conversation {
	p.t.Helper()
	return during(p.t, func() (*Conversation, error) { return c.Resume(testContext(p.t), testConv, head) }, func() {
		r := expect(p, &frame.Resume{})
		p.send(&frame.Resumed{Ref: r.Ref, Conv: testConv, Recovered: true, After: head, Head: head})
	})
}

func TestOpenTellsWhatItIsAbout(t *testing.T) {
	s := newFakeServer(t)
	c, p := s.start(s.options())
	during(t, func() (*Conversation, error) {
		return c.Open(testContext(t), "sales", OpenOptions{Priority: 2, Required: []string{"refunds"}, Subject: "a bill", Attributes: map[string]string{"page": "/x"}})
	}, func() {
		f := expect(p, &frame.Open{})
		var got map[string]any
		if err := Raw(f.Details).Decode(&got); err != nil || len(got) != 4 || got["subject"] != "a bill" || got["attributes"].(map[string]any)["page"] != "/x" {
			t.Errorf("details %v, %v", got, err)
		}
		p.send(&frame.Conversation{Ref: f.Ref, Conv: testConv, State: frame.StateQueued, Group: []byte("sales"), Visitor: []byte("ann")})
	})
	during(t, func() (*Conversation, error) { return c.Open(testContext(t), "sales", OpenOptions{}) }, func() {
		f := expect(p, &frame.Open{})
		if len(f.Details) != 0 {
			t.Errorf("an open that says nothing has details %x", f.Details)
		}
		p.send(&frame.Conversation{Ref: f.Ref, Conv: ID{7}, State: frame.StateQueued, Group: []byte("sales"), Visitor: []byte("ann")})
	})
}

// Each request goes out as its frame, and what the server answers comes back.
func TestRequestsOfTheDesk(t *testing.T) {
	s := newFakeServer(t)
	c, p := s.start(s.options())
	conv := open(c, p, 3)
	ctx := testContext(t)
	for name, one := range map[string]struct {
		call   func() error
		expect func() uint64
	}{
		"claim": {func() error { return c.Claim(ctx, testConv) }, func() uint64 {
			f := expect(p, &frame.Claim{})
			if f.Conv != testConv {
				t.Errorf("%+v", f)
			}
			return f.Ref
		}},
		"transfer": {func() error { return conv.Transfer(ctx, Target{Group: "tech", Agent: "eve", Front: true}) }, func() uint64 {
			f := expect(p, &frame.Transfer{})
			if f.Conv != testConv || string(f.Group) != "tech" || string(f.Agent) != "eve" || !f.Front {
				t.Errorf("%+v", f)
			}
			return f.Ref
		}},
		"hold": {func() error { return conv.Hold(ctx, true) }, func() uint64 {
			f := expect(p, &frame.Hold{})
			if f.Conv != testConv || !f.On {
				t.Errorf("%+v", f)
			}
			return f.Ref
		}},
		"rate": {func() error { return conv.Rate(ctx, 5, "thanks") }, func() uint64 {
			f := expect(p, &frame.Rate{})
			if f.Conv != testConv || f.Stars != 5 || string(f.Comment) != "thanks" {
				t.Errorf("%+v", f)
			}
			return f.Ref
		}},
		"join": {func() error { return conv.Join(ctx) }, func() uint64 { return expect(p, &frame.Join{}).Ref }},
		"status": {func() error { return c.SetAgentStatus(ctx, "eve", Busy, 3) }, func() uint64 {
			f := expect(p, &frame.Status{})
			if string(f.User) != "eve" || f.Status != frame.AgentBusy || f.Capacity != 3 {
				t.Errorf("%+v", f)
			}
			return f.Ref
		}},
	} {
		answer := func(f func(ref uint64) encoder) error {
			_, err := attempted(func() (struct{}, error) { return struct{}{}, one.call() }, func() { p.send(f(one.expect())) })
			return err
		}
		if err := answer(func(ref uint64) encoder { return &frame.Ack{Ref: ref, Seq: 4} }); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		err := answer(func(ref uint64) encoder { return &frame.Error{Ref: ref, Code: frame.ErrorTaken, Text: []byte("eve")} })
		if e := (*ServerError)(nil); !errors.Is(err, ErrTaken) || !errors.As(err, &e) || e.Text != "eve" {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A transfer that may have happened is not repeated; one that was not sent yet is.
func TestTransferIsNotRepeated(t *testing.T) {
	s := newFakeServer(t)
	c, p := s.start(s.options())
	conv := open(c, p, 3)
	done := make(chan error)
	transfer := func() { done <- conv.Transfer(testContext(t), Target{Agent: "eve"}) }
	go transfer()
	expect(p, &frame.Transfer{})
	p.conn.Close()
	if err := <-done; !errors.Is(err, ErrUnanswered) {
		t.Errorf("got %v", err)
	}
	go transfer() // without a connection, or with the next one
	p = s.welcome()
	for typ := frame.Type(0); typ != frame.TypeTransfer; {
		var f []byte
		var err error
		if typ, f, err = p.next(); err != nil {
			t.Fatal(err)
		}
		p.send(&frame.Ack{Ref: frame.PeekRef(f), Seq: 5})
	}
	if err := <-done; err != nil {
		t.Errorf("got %v", err)
	}
}

// The agent who loses a conversation is told by its last message; the others are not.
func TestAgentLosesAConversation(t *testing.T) {
	for name, e := range map[string]ServerEvent{"assigned": {Name: "assigned", Agent: "eve", From: "bob"}, "queued": {Name: "queued", From: "bob"}} {
		s := newFakeServer(t)
		c, p := s.startWith(s.options(), asAgent())
		conv := served(c, p, 3)
		p.send(event(4, ServerEvent{Name: "assigned", Agent: "bob"}), event(5, e))
		for range 2 {
			if _, err := conv.Receive(testContext(t)); err != nil {
				t.Fatal(name, err)
			}
		}
		if _, err := conv.Receive(testContext(t)); !errors.Is(err, ErrReassigned) {
			t.Errorf("%s: %v", name, err)
		}
		expect(p, &frame.Detach{})
		served(c, p, 5) // it can come back
	}
}

// What a replay shows of earlier agents takes nothing from the present one, nor does an old notice.
func TestAgentKeepsWhatHistoryShows(t *testing.T) {
	s := newFakeServer(t)
	c, p := s.startWith(s.options(), asAgent())
	old := frame.Conversation{Conv: testConv, State: frame.StateQueued, Group: []byte("sales"), Visitor: []byte("ann"), Head: 2}
	conv := during(t, func() (*Conversation, error) { return c.Resume(testContext(t), testConv, 0) }, func() {
		r := expect(p, &frame.Resume{})
		p.send(&old, &frame.Resumed{Ref: r.Ref, Conv: testConv, Recovered: true, Head: 3, Count: 3})
	})
	p.send(event(1, ServerEvent{Name: "assigned", Agent: "eve"}), event(2, ServerEvent{Name: "queued", From: "eve"}), event(3, ServerEvent{Name: "assigned", Agent: "bob"}),
		&old, text(4, "hello"))
	for range 3 {
		if _, err := conv.Receive(testContext(t)); err != nil {
			t.Fatal(err)
		}
	}
	receive(t, conv, "hello")
	p.send(&frame.Conversation{Conv: testConv, State: frame.StateAssigned, Group: []byte("sales"), Visitor: []byte("ann"), Agent: []byte("eve"), Head: 5})
	if _, err := conv.Receive(testContext(t)); !errors.Is(err, ErrReassigned) {
		t.Errorf("after the newest notice: %v", err)
	}
}

func TestReopen(t *testing.T) {
	s := newFakeServer(t)
	c, p := s.start(s.options())
	conv := open(c, p, 3)
	p.send(event(4, ServerEvent{Name: "closed", By: "bob"}))
	if _, err := conv.Receive(testContext(t)); err != nil {
		t.Fatal(err)
	}
	if _, err := conv.Receive(testContext(t)); !errors.Is(err, ErrConversationClosed) {
		t.Fatal(err)
	}
	during(t, func() (struct{}, error) { return struct{}{}, conv.Reopen(testContext(t)) }, func() {
		p.send(&frame.Ack{Ref: expect(p, &frame.Reopen{}).Ref, Seq: 5})
		r := expect(p, &frame.Resume{})
		p.send(&frame.Resumed{Ref: r.Ref, Conv: testConv, Recovered: true, After: r.After, Head: 5, Count: 5 - r.After}, event(5, ServerEvent{Name: "reopened", By: "ann"}))
	})
	if m, err := conv.Receive(testContext(t)); err != nil || m.Event().Name != "reopened" || m.Event().By != "ann" {
		t.Errorf("%+v %v", m, err)
	}
	p.send(text(6, "again"))
	receive(t, conv, "again")
}

func TestPositionsAreTold(t *testing.T) {
	s := newFakeServer(t)
	opts, got := s.options(), make(chan Position, 1)
	opts.Handlers.Position = func(p Position) { got <- p }
	_, p := s.start(opts)
	p.send(&frame.Position{Conv: testConv, Group: []byte("sales"), Place: 2, Of: 7, WaitMS: 90_000})
	if at := <-got; at != (Position{Conversation: testConv, Group: "sales", Place: 2, Of: 7, Wait: 90 * time.Second}) {
		t.Errorf("%+v", at)
	}
}

// waiting makes a change of the queue of sales: the conversation n comes or goes, in the order of n.
func waiting(version uint64, op frame.QueueOp, n byte, total int) *frame.QueueChange {
	return &frame.QueueChange{Group: []byte("sales"), Version: version, Op: op, Total: uint64(total), Conv: ID{15: n}, Visitor: []byte("v"), SinceMS: uint64(n), RankMS: uint64(n)}
}

// answerWatch sends the window of a queue of the conversations n.
func answerWatch(p *peer, limit, version uint64, total int, n ...byte) {
	p.t.Helper()
	w := expect(p, &frame.Watch{})
	if string(w.Group) != "sales" || w.Limit != limit {
		p.t.Errorf("%+v", w)
	}
	q := frame.Queue{Ref: w.Ref, Group: []byte("sales"), Version: version, Total: uint64(total), Count: len(n)}
	for _, n := range n {
		q.Entries = waiting(version, frame.QueueAdded, n, total).Append(q.Entries)
	}
	p.send(&q)
}

// queued checks the next view.
func queued(t *testing.T, q *Queue, version uint64, total int, n ...byte) {
	t.Helper()
	for {
		view, err := q.Next(testContext(t))
		if err != nil {
			t.Fatal(err)
		}
		if view.Version < version {
			continue
		}
		var got []byte
		for _, e := range view.Entries {
			got = append(got, e.Conversation[15])
		}
		if view.Version != version || view.Total != total || !slices.Equal(got, n) {
			t.Fatalf("version %d, %d wait, %v; want version %d, %d, %v", view.Version, view.Total, got, version, total, n)
		}
		return
	}
}

func TestWatch(t *testing.T) {
	s := newFakeServer(t)
	c, p := s.startWith(s.options(), asAgent())
	q := during(t, func() (*Queue, error) { return c.Watch(testContext(t), "sales", 4) }, func() { answerWatch(p, 4, 10, 2, 10, 30) })
	if v := q.View(); v.Version != 10 || v.Total != 2 || len(v.Entries) != 2 || v.Entries[1].Visitor != "v" || !v.Entries[1].Since.Equal(time.UnixMilli(30)) {
		t.Fatalf("%+v", v)
	}
	p.send(waiting(10, frame.QueueAdded, 30, 2), waiting(11, frame.QueueAdded, 20, 3)) // the first one is known
	queued(t, q, 11, 3, 10, 20, 30)
	p.send(waiting(12, frame.QueueAdded, 40, 4), waiting(13, frame.QueueAdded, 25, 5)) // the window is full
	queued(t, q, 13, 5, 10, 20, 25, 30)
	p.send(waiting(14, frame.QueueAdded, 50, 6), waiting(15, frame.QueueRemoved, 10, 5)) // behind the window; in it
	queued(t, q, 15, 5, 20, 25, 30)
	front := waiting(16, frame.QueueAdded, 60, 6)
	front.Front = true
	p.send(front)
	queued(t, q, 16, 6, 60, 20, 25, 30)

	p.send(waiting(18, frame.QueueRemoved, 20, 5)) // a gap
	answerWatch(p, 4, 19, 5, 60, 25, 30, 40)
	queued(t, q, 19, 5, 60, 25, 30, 40)
	p.send(waiting(19, frame.QueueRemoved, 20, 5), waiting(20, frame.QueueRemoved, 60, 4), waiting(21, frame.QueueRemoved, 25, 3)) // it runs short
	answerWatch(p, 4, 21, 3, 30, 40, 50)
	queued(t, q, 21, 3, 30, 40, 50)

	p.conn.Close()
	p = s.accept()
	expect(p, &frame.Hello{})
	p.send(asAgent())
	answerWatch(p, 4, 1, 1, 70) // the server began anew
	queued(t, q, 1, 1, 70)
	q.Close()
	if w := expect(p, &frame.Watch{}); w.Limit != 0 {
		t.Errorf("%+v", w)
	}
	if _, err := q.Next(context.Background()); !errors.Is(err, ErrDetached) {
		t.Error(err)
	}
}

func TestWatchRefused(t *testing.T) {
	s := newFakeServer(t)
	c, p := s.start(s.options())
	_, err := attempted(func() (*Queue, error) { return c.Watch(testContext(t), "sales", 4) }, func() {
		p.send(&frame.Error{Ref: expect(p, &frame.Watch{}).Ref, Code: frame.ErrorForbidden, Text: []byte("no")})
	})
	if e := (*ServerError)(nil); !errors.As(err, &e) || e.Code != frame.ErrorForbidden {
		t.Error(err)
	}
}
