package switchyard

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/switchyard-im/switchyard/frame"
)

func TestSendReturnsWhenAccepted(t *testing.T) {
	c, p := startFake(t)
	conv := open(c, p, 1)
	got := during(t, func() (Accepted, error) {
		return conv.Send(testContext(t), map[string]any{"text": "hello", "n": 3})
	}, func() {
		f := expect(p, &frame.Send{})
		var body struct {
			Text string `msgpack:"text"`
			N    int    `msgpack:"n"`
		}
		if err := Raw(f.Body).Decode(&body); err != nil || body.Text != "hello" || body.N != 3 {
			t.Errorf("the body arrives as %+v, %v", body, err)
		}
		if f.Level != 2 || f.ID.IsZero() || f.Base != 1 || f.Conv != testConv {
			t.Errorf("sent %+v", f)
		}
		p.send(&frame.Ack{Ref: f.Ref, Seq: 2, TimeMS: 1700000000123})
	})
	if got.Seq != 2 || got.Time.UnixMilli() != 1700000000123 {
		t.Errorf("accepted as %+v", got)
	}
}

func startFake(t testing.TB) (*Client, *peer) {
	s := newFakeServer(t)
	return s.start(s.options())
}

// The ack of a message is lost with the connection, and the resume shows that the message was accepted: it is not sent again.
func TestLostAckIsFoundInTheReplay(t *testing.T) {
	s := newFakeServer(t)
	c, p := s.start(s.options())
	conv := open(c, p, 1)
	first, second := post(t, conv, "one"), post(t, conv, "two")
	one := expectSend(p, "one")
	expectSend(p, "two")
	p.conn.Close()

	p = s.welcome()
	resume := expect(p, &frame.Resume{})
	if resume.After != 1 || resume.Conv != testConv {
		t.Fatalf("resumes with %+v", resume)
	}
	p.send(&frame.Resumed{Ref: resume.Ref, Conv: testConv, Recovered: true, After: 1, Head: 3, Count: 2}, text(2, "from bob"), own(one, 3))
	accepted(t, first, 3)
	two := expectSend(p, "two")
	p.send(&frame.Ack{Ref: two.Ref, Seq: 4, TimeMS: 1}, text(5, "bob again"))
	accepted(t, second, 4)
	receive(t, conv, "from bob")
	receive(t, conv, "bob again")
}

// What the server has not shown as accepted is sent again, in order, with the ids and bases of the first time.
func TestResendKeepsOrderIDAndBase(t *testing.T) {
	s := newFakeServer(t)
	c, p := s.start(s.options())
	conv := open(c, p, 7)
	var sent []*frame.Send
	for _, body := range []string{"a", "b", "c"} {
		post(t, conv, body)
		sent = append(sent, expectSend(p, body))
	}
	p.send(text(8, "bob")) // what is known grows, but not the bases
	receive(t, conv, "bob")
	p.conn.Close()

	p = s.welcome()
	resume := expect(p, &frame.Resume{})
	p.send(&frame.Resumed{Ref: resume.Ref, Conv: testConv, Recovered: true, After: 8, Head: 8})
	for _, first := range sent {
		again := sendCopy(expect(p, &frame.Send{}))
		if again.ID != first.ID || again.Base != first.Base || again.Base != 7 {
			t.Errorf("first %+v, again %+v", first, again)
		}
	}
}

// Messages that are posted without a connection leave in order once there is one, after the older ones.
func TestPostWithoutConnectionWaits(t *testing.T) {
	s := newFakeServer(t)
	opts := s.options()
	lost := make(chan struct{}, 2)
	opts.Handlers.Connection = func(state ConnectionState, _ error) {
		if state == Disconnected {
			lost <- struct{}{}
		}
	}
	c, p := s.start(opts)
	conv := open(c, p, 1)
	p.conn.Close()
	<-lost
	first, second := post(t, conv, "a"), post(t, conv, "b")
	p = s.welcome()
	resume := expect(p, &frame.Resume{})
	p.send(&frame.Resumed{Ref: resume.Ref, Conv: testConv, Recovered: true, After: 1, Head: 1})
	for i, pending := range []*Pending{first, second} {
		f := expect(p, &frame.Send{})
		p.send(&frame.Ack{Ref: f.Ref, Seq: uint64(2 + i)})
		accepted(t, pending, uint64(2+i))
	}
}

func TestRefusalForGood(t *testing.T) {
	c, p := startFake(t)
	conv := open(c, p, 1)
	_, err := attempted(func() (Accepted, error) { return conv.Send(testContext(t), "x") }, func() {
		f := expect(p, &frame.Send{})
		p.send(&frame.Error{Ref: f.Ref, Code: frame.ErrorClosed, Text: []byte("it has ended")})
	})
	refused, ok := errors.AsType[*ServerError](err)
	if !ok || refused.Code != frame.ErrorClosed || !errors.Is(err, ErrConversationClosed) {
		t.Errorf("got %v", err)
	}
}

// A message that the server refuses for now is repeated, and later posts wait behind it.
func TestOverloadedIsRepeatedInOrder(t *testing.T) {
	c, p := startFake(t)
	conv := open(c, p, 1)
	post(t, conv, "a")
	first := expectSend(p, "a")
	p.send(&frame.Error{Ref: first.Ref, Code: frame.ErrorOverloaded, Text: []byte("later"), RetryMS: 20}, text(2, "sync"))
	receive(t, conv, "sync") // the refusal was handled
	post(t, conv, "b")
	again := expectSend(p, "a")
	if again.ID != first.ID || again.Base != first.Base {
		t.Errorf("first %+v, again %+v", first, again)
	}
	p.send(&frame.Ack{Ref: again.Ref, Seq: 3})
	expectSend(p, "b")
}

// After a refusal nothing goes out before everything under way is answered, also when the time to wait is over: a new message would
// overtake one whose refusal is still on its way.
func TestRepeatWaitsForWhatIsUnderWay(t *testing.T) {
	c, p := startFake(t)
	conv := open(c, p, 1)
	post(t, conv, "a")
	a := expectSend(p, "a")
	post(t, conv, "b")
	b := expectSend(p, "b")
	p.send(&frame.Error{Ref: a.Ref, Code: frame.ErrorOverloaded, Text: []byte("later"), RetryMS: 1}, text(2, "sync"))
	receive(t, conv, "sync")
	post(t, conv, "c")
	time.Sleep(50 * time.Millisecond) // long enough that "a" and "c" would be on their way, were nothing waited for
	p.send(&frame.Error{Ref: b.Ref, Code: frame.ErrorOverloaded, Text: []byte("later"), RetryMS: 1})
	a = expectSend(p, "a")
	p.send(&frame.Ack{Ref: a.Ref, Seq: 3})
	expectSend(p, "b")
	expectSend(p, "c")
}

// After a refusal the first message goes alone, and each ack lets one more be under way than before.
func TestRefusedMessagesComeBackFewAtATime(t *testing.T) {
	c, p := startFake(t)
	conv := open(c, p, 1)
	const n = 20
	var all []*Pending
	for range n {
		all = append(all, post(t, conv, "x"))
	}
	for range n {
		f := expectSend(p, "x")
		p.send(&frame.Error{Ref: f.Ref, Code: frame.ErrorOverloaded, Text: []byte("later"), RetryMS: 10})
	}
	sent := []*frame.Send{expectSend(p, "x")}
	for i := range n {
		if i > 0 && len(sent) < n {
			sent = append(sent, expectSend(p, "x"))
		}
		if i > 0 && len(sent) < n {
			sent = append(sent, expectSend(p, "x"))
		}
		conv.client.session.mu.Lock()
		tooMany := len(sent) < n && all[len(sent)].epoch != 0
		conv.client.session.mu.Unlock()
		if tooMany {
			t.Fatalf("after %d acks more than %d were sent", i, len(sent))
		}
		if f := sent[i]; f.ID != all[i].ID() {
			t.Errorf("message %d is not in its place", i)
		}
		p.send(&frame.Ack{Ref: sent[i].Ref, Seq: uint64(i + 2)})
		accepted(t, all[i], uint64(i+2))
	}
}

func TestOutboxIsBounded(t *testing.T) {
	s := newFakeServer(t)
	opts := s.options()
	opts.MaxPending = 2
	c, p := s.start(opts)
	conv := open(c, p, 1)
	post(t, conv, "a")
	post(t, conv, "b")
	full, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
	defer cancel()
	if _, err := conv.Post(full, "c"); err != context.DeadlineExceeded {
		t.Fatalf("a third message: %v", err)
	}
	third := make(chan error, 1)
	go func() {
		_, err := conv.Post(testContext(t), "c")
		third <- err
	}()
	f := expectSend(p, "a")
	p.send(&frame.Ack{Ref: f.Ref, Seq: 2})
	expectSend(p, "b")
	if err := <-third; err != nil {
		t.Fatal(err)
	}
	expectSend(p, "c")
}

func TestSendAfterItsContextMayArrive(t *testing.T) {
	c, p := startFake(t)
	conv := open(c, p, 1)
	ctx, cancel := context.WithCancel(context.Background())
	var f *frame.Send
	_, err := attempted(func() (Accepted, error) { return conv.Send(ctx, "x") }, func() {
		f = expectSend(p, "x")
		cancel()
	})
	e, ok := errors.AsType[*SendError](err)
	if !ok || !e.MayArrive || !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v", err)
	}
	p.send(&frame.Ack{Ref: f.Ref, Seq: 2})
	accepted(t, e.Pending, 2)
}

// A message that never left is withdrawn when its Send ends.
func TestSendWithoutConnectionIsWithdrawn(t *testing.T) {
	s := newFakeServer(t)
	c, p := s.start(s.options())
	conv := open(c, p, 1)
	p.conn.Close()
	p = s.welcome()
	resume := expect(p, &frame.Resume{}) // not answered yet, so nothing is sent
	ctx, cancel := context.WithCancel(context.Background())
	_, err := attempted(func() (Accepted, error) { return conv.Send(ctx, "never") }, cancel)
	if e, ok := errors.AsType[*SendError](err); ok && (e.MayArrive || !strings.Contains(err.Error(), "was not accepted")) {
		t.Fatalf("got %v", err)
	} else if !ok && err != context.Canceled { // cancelled before it came into the outbox
		t.Fatalf("got %v", err)
	}
	p.send(&frame.Resumed{Ref: resume.Ref, Conv: testConv, Recovered: true, After: 1, Head: 1})
	post(t, conv, "next")
	expectSend(p, "next")
}

func TestBadBodiesAreRefusedBeforeTheyAreSent(t *testing.T) {
	c, p := startFake(t)
	conv := open(c, p, 1)
	for name, body := range map[string]any{
		"a channel": make(chan int), "a time, which is an extension type": time.Now(), "numbers as keys": map[int]int{1: 2},
		"two values": Raw{1, 2}, "no value": Raw{}, "cut off": Raw{0xa5, 'x'},
	} {
		if _, err := conv.Send(testContext(t), body); err == nil || !strings.Contains(err.Error(), "body") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := conv.Send(testContext(t), strings.Repeat("x", 64<<10)); !errors.Is(err, ErrTooLarge) {
		t.Errorf("too large: %v", err)
	}
}

// No more than maxInFlight messages of a conversation are on the wire; each answer lets the next one go.
func TestInFlightIsBounded(t *testing.T) {
	c, p := startFake(t)
	conv := open(c, p, 1)
	var all []*Pending
	for range maxInFlight + 2 {
		all = append(all, post(t, conv, "x"))
	}
	var sent []*frame.Send
	for range maxInFlight {
		sent = append(sent, expectSend(p, "x"))
	}
	for i := range 2 {
		if all[maxInFlight+i].sent {
			t.Fatal("too many are on the wire")
		}
		p.send(&frame.Ack{Ref: sent[i].Ref, Seq: uint64(i + 2)})
		if f := expectSend(p, "x"); f.ID != all[maxInFlight+i].ID() || f.Base != uint64(i+2) {
			t.Errorf("sent %+v", f)
		}
	}
}
