package switchyard

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/gobwas/ws"

	"github.com/switchyard-im/switchyard/frame"
)

func TestDuplicatesAreDropped(t *testing.T) {
	c, p := startFake(t)
	conv := open(c, p, 1)
	p.send(text(2, "a"), text(2, "a"), text(3, "b"), text(2, "a"), text(3, "b"), text(4, "c"))
	for _, want := range []string{"a", "b", "c"} {
		receive(t, conv, want)
	}
	if conv.Last() != 4 {
		t.Errorf("last is %d", conv.Last())
	}
}

// Own messages are not delivered; their acks stand in their places, whether they come before or after a message of the same batch.
func TestOwnMessagesTakeTheirPlace(t *testing.T) {
	c, p := startFake(t)
	conv := open(c, p, 1)
	post(t, conv, "mine")
	first := expectSend(p, "mine")
	post(t, conv, "mine too")
	second := expectSend(p, "mine too")
	p.send(&frame.Ack{Ref: first.Ref, Seq: 2}, text(3, "a"), &frame.Ack{Ref: second.Ref, Seq: 5}, text(4, "b"), text(6, "c"))
	for _, want := range []string{"a", "b", "c"} {
		receive(t, conv, want)
	}
}

func TestGapIsResumed(t *testing.T) {
	c, p := startFake(t)
	conv := open(c, p, 1)
	p.send(text(2, "a"), text(4, "c"), text(5, "d"))
	receive(t, conv, "a")
	resume := expect(p, &frame.Resume{})
	if resume.After != 2 {
		t.Fatalf("resumes after %d", resume.After)
	}
	p.send(&frame.Resumed{Ref: resume.Ref, Conv: testConv, Recovered: true, After: 2, Head: 5, Count: 3}, text(3, "b"), text(4, "c"), text(5, "d"))
	for _, want := range []string{"b", "c", "d"} {
		receive(t, conv, want)
	}
}

// A gap that a resume does not fill is told, once, and the conversation goes on.
func TestGapThatStays(t *testing.T) {
	c, p := startFake(t)
	conv := open(c, p, 1)
	p.send(text(4, "x"))
	resume := expect(p, &frame.Resume{})
	p.send(&frame.Resumed{Ref: resume.Ref, Conv: testConv, Recovered: true, After: 1, Head: 4, Count: 1}, text(4, "x"), text(5, "y"))
	expectGap(t, conv, 1, 3)
	receive(t, conv, "x")
	receive(t, conv, "y")
}

func expectGap(t *testing.T, conv *Conversation, after, head uint64) {
	t.Helper()
	_, err := conv.Receive(testContext(t))
	gap, ok := errors.AsType[*GapError](err)
	if !ok || gap.After != after || gap.Head != head {
		t.Fatalf("got %v, want a gap after %d up to %d", err, after, head)
	}
}

// An own message that was accepted beyond something that never came is noticed at the next heartbeat.
func TestSilentGapIsResumed(t *testing.T) {
	s := newFakeServer(t)
	w := testWelcome()
	w.HeartbeatMS = 20
	c, p := s.startWith(s.options(), w)
	conv := open(c, p, 1)
	post(t, conv, "mine")
	f := expectSend(p, "mine")
	p.send(&frame.Ack{Ref: f.Ref, Seq: 3})
	resume := expect(p, &frame.Resume{})
	p.send(&frame.Resumed{Ref: resume.Ref, Conv: testConv, Recovered: true, After: 1, Head: 3, Count: 2}, text(2, "a"), own(f, 3), text(4, "b"))
	receive(t, conv, "a")
	receive(t, conv, "b")
}

func TestNotRecoveredIsTold(t *testing.T) {
	s := newFakeServer(t)
	c, p := s.start(s.options())
	conv := open(c, p, 5)
	p.conn.Close()
	p = s.welcome()
	resume := expect(p, &frame.Resume{})
	p.send(&frame.Resumed{Ref: resume.Ref, Conv: testConv, After: 5, Head: 900}, text(901, "new"))
	expectGap(t, conv, 5, 900)
	receive(t, conv, "new")
}

// A sequence of another epoch is refused; the client attaches at the head and tells the gap.
func TestBadSequenceAttachesAtTheHead(t *testing.T) {
	s := newFakeServer(t)
	c, p := s.start(s.options())
	conv := open(c, p, 5)
	p.conn.Close()
	p = s.welcome()
	resume := expect(p, &frame.Resume{})
	p.send(&frame.Error{Ref: resume.Ref, Code: frame.ErrorBadSequence, Text: []byte("another epoch")})
	attach := expect(p, &frame.Attach{})
	head := frame.Sequence(1, 1)
	p.send(&frame.Resumed{Ref: attach.Ref, Conv: testConv, Recovered: true, After: head, Head: head}, text(head+1, "new"))
	expectGap(t, conv, 5, head)
	receive(t, conv, "new")
}

// With a full inbox the server is asked to stop; when half of it was read, the conversation resumes after the last message in it.
func TestFullInboxPausesAndResumes(t *testing.T) {
	s := newFakeServer(t)
	opts := s.options()
	opts.InboxSize = 4
	c, p := s.start(opts)
	conv := open(c, p, 0)
	for seq := uint64(1); seq <= 6; seq++ {
		p.send(text(seq, fmt.Sprint(seq)))
	}
	expect(p, &frame.Detach{})
	post(t, conv, "sending goes on")
	f := expectSend(p, "sending goes on")
	if f.Base < 5 {
		t.Errorf("the base is %d, but 5 was seen", f.Base)
	}
	p.send(&frame.Ack{Ref: f.Ref, Seq: 8}, text(7, "on its way"))
	receive(t, conv, "1")
	receive(t, conv, "2")
	resume := expect(p, &frame.Resume{})
	if resume.After != 4 {
		t.Fatalf("resumes after %d, want 4", resume.After)
	}
	p.send(text(9, "still on its way"))
	p.send(&frame.Resumed{Ref: resume.Ref, Conv: testConv, Recovered: true, After: 4, Head: 9, Count: 5},
		text(5, "5"), text(6, "6"))
	for seq := 3; seq <= 6; seq++ {
		receive(t, conv, fmt.Sprint(seq))
	}
	p.send(text(7, "7"), own(f, 8), text(9, "9"))
	receive(t, conv, "7")
	receive(t, conv, "9")
}

// A paused conversation stays paused over a reconnect, and its outbox is served.
func TestPausedOverReconnect(t *testing.T) {
	s := newFakeServer(t)
	opts := s.options()
	opts.InboxSize = 2
	c, p := s.start(opts)
	conv := open(c, p, 0)
	p.send(text(1, "1"), text(2, "2"), text(3, "3"))
	expect(p, &frame.Detach{})
	p.conn.Close()
	p = s.welcome()
	post(t, conv, "hello")
	expectSend(p, "hello")
	receive(t, conv, "1")
	if resume := expect(p, &frame.Resume{}); resume.After != 2 {
		t.Errorf("resumes after %d, want 2", resume.After)
	}
}

func TestMessagesEndsWithTheConversation(t *testing.T) {
	c, p := startFake(t)
	conv := open(c, p, 1)
	closing := &frame.Message{Conv: testConv, Seq: 3, Prev: 2, Kind: frame.KindEvent, Body: raw(map[string]any{"event": "closed"})}
	p.send(text(2, "a"), closing)
	var got []string
	for m, err := range conv.Messages(testContext(t)) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, m.Body.Text()+m.EventName())
	}
	if fmt.Sprint(got) != "[a closed]" {
		t.Errorf("got %v", got)
	}
	if conv.Info().State != Closed {
		t.Errorf("the state is %v", conv.Info().State)
	}
}

func TestCloseConversation(t *testing.T) {
	c, p := startFake(t)
	conv := open(c, p, 1)
	during(t, func() (struct{}, error) { return struct{}{}, conv.Close(testContext(t)) }, func() {
		request := expect(p, &frame.Close{})
		p.send(text(2, "last"), &frame.Ack{Ref: request.Ref, Seq: 3})
	})
	receive(t, conv, "last")
	if _, err := conv.Receive(testContext(t)); err != ErrConversationClosed {
		t.Errorf("got %v", err)
	}
}

func TestMessagesGoesOnAfterAGap(t *testing.T) {
	c, p := startFake(t)
	conv := during(t, func() (*Conversation, error) { return c.Resume(testContext(t), testConv, 3) }, func() {
		resume := expect(p, &frame.Resume{})
		p.send(&frame.Resumed{Ref: resume.Ref, Conv: testConv, After: 3, Head: 10}, text(11, "new"))
	})
	ctx, cancel := context.WithCancel(testContext(t))
	defer cancel()
	gaps := 0
	for m, err := range conv.Messages(ctx) {
		if errors.As(err, new(*GapError)) {
			gaps++
		} else if err != nil || m.Body.Text() != "new" {
			t.Errorf("got %v, %v", m, err)
		} else {
			cancel()
		}
	}
	if gaps != 1 {
		t.Errorf("%d gaps", gaps)
	}
}

func TestAttachStartsAtTheHead(t *testing.T) {
	c, p := startFake(t)
	conv := during(t, func() (*Conversation, error) { return c.Attach(testContext(t), testConv) }, func() {
		attach := expect(p, &frame.Attach{})
		p.send(&frame.Resumed{Ref: attach.Ref, Conv: testConv, Recovered: true, After: 40, Head: 40}, text(41, "new"))
	})
	receive(t, conv, "new")
	if again, err := c.Attach(testContext(t), testConv); again != conv || err != nil {
		t.Errorf("a second attach gives %p, %v, want %p", again, err, conv)
	}
}

func TestAttachRefused(t *testing.T) {
	c, p := startFake(t)
	_, err := attempted(func() (*Conversation, error) { return c.Attach(testContext(t), testConv) }, func() {
		attach := expect(p, &frame.Attach{})
		p.send(&frame.Error{Ref: attach.Ref, Code: frame.ErrorOverloaded, RetryMS: 1})
		attach = expect(p, &frame.Attach{}) // an error that passes is not the application's business
		p.send(&frame.Error{Ref: attach.Ref, Code: frame.ErrorForbidden, Text: []byte("not yours")})
	})
	if refused, ok := errors.AsType[*ServerError](err); !ok || refused.Code != frame.ErrorForbidden {
		t.Errorf("got %v", err)
	}
}

func TestDetach(t *testing.T) {
	c, p := startFake(t)
	conv := open(c, p, 1)
	pending := post(t, conv, "x")
	expectSend(p, "x")
	conv.Detach()
	expect(p, &frame.Detach{})
	if _, err := conv.Receive(testContext(t)); err != ErrDetached {
		t.Errorf("Receive: %v", err)
	}
	if _, err := pending.Wait(testContext(t)); !errors.Is(err, ErrDetached) {
		t.Errorf("Wait: %v", err)
	}
	if _, err := conv.Post(testContext(t), "y"); err != ErrDetached {
		t.Errorf("Post: %v", err)
	}
	p.send(text(2, "late"))
}

func TestHistory(t *testing.T) {
	c, p := startFake(t)
	conv := open(c, p, 9)
	page := during(t, func() (Page, error) { return conv.History(testContext(t), 5, 2) }, func() {
		request := expect(p, &frame.History{})
		if request.Before != 5 || request.Limit != 2 || request.Conv != testConv {
			t.Errorf("asked for %+v", request)
		}
		p.send(&frame.Page{Ref: request.Ref, Conv: testConv, More: true, Count: 2, Messages: text(4, "b").Append(text(3, "a").Append(nil))})
	})
	if len(page.Messages) != 2 || !page.More || page.Messages[0].Body.Text() != "a" || page.Messages[1].Seq != 4 {
		t.Errorf("got %+v", page)
	}
	if _, err := conv.History(testContext(t), 0, 201); err == nil {
		t.Error("a page of 201 messages is not refused")
	}
}

// A request whose answer was lost with the connection is repeated; one that is refused for now too.
func TestRequestsAreRepeated(t *testing.T) {
	s := newFakeServer(t)
	c, p := s.start(s.options())
	during(t, func() (*Conversation, error) { return c.Open(testContext(t), "sales", OpenOptions{}) }, func() {
		first := *expect(p, &frame.Open{})
		p.conn.Close()
		p = s.welcome()
		second := *expect(p, &frame.Open{})
		p.send(&frame.Error{Ref: second.Ref, Code: frame.ErrorUnavailable, RetryMS: 1})
		third := *expect(p, &frame.Open{})
		if first.Key != second.Key || second.Key != third.Key {
			t.Error("the key changes")
		}
		p.send(&frame.Conversation{Ref: third.Ref, Conv: testConv, State: frame.StateQueued})
	})
}

func TestMarksAreCumulativeAndRepeated(t *testing.T) {
	s := newFakeServer(t)
	c, p := s.start(s.options())
	conv := open(c, p, 0)
	p.send(text(1, "a"), text(2, "b"), text(3, "c"))
	for _, want := range []string{"a", "b", "c"} {
		receive(t, conv, want)
	}
	conv.Read(2)
	conv.Read(1) // lower: nothing
	p.expectMark(frame.TypeDelivered, 3)
	p.expectMark(frame.TypeRead, 2)
	p.conn.Close()
	p = s.welcome()
	resume := expect(p, &frame.Resume{})
	p.send(&frame.Resumed{Ref: resume.Ref, Conv: testConv, Recovered: true, After: 3, Head: 3})
	p.expectMark(frame.TypeDelivered, 3)
	p.expectMark(frame.TypeRead, 2)
}

func TestManualDelivered(t *testing.T) {
	s := newFakeServer(t)
	opts := s.options()
	opts.ManualDelivered = true
	c, p := s.start(opts)
	conv := open(c, p, 0)
	p.send(text(1, "a"), text(2, "b"))
	receive(t, conv, "a")
	receive(t, conv, "b")
	conv.Delivered(1)
	p.expectMark(frame.TypeDelivered, 1)
	if len(p.marks) != 1 {
		t.Errorf("marks %+v", p.marks)
	}
}

func TestHandlers(t *testing.T) {
	s := newFakeServer(t)
	opts := s.options()
	told := make(chan any, 10)
	opts.Handlers = Handlers{
		Conversation: func(n Notice) { told <- n },
		Receipt:      func(r Receipt) { told <- r },
		Signal:       func(g Signal) { told <- g },
		Presence:     func(p Presence) { told <- p },
	}
	c, p := s.start(opts)
	conv := open(c, p, 0)
	p.send(
		&frame.Conversation{Conv: testConv, State: frame.StateAssigned, Agent: []byte("eve"), Head: 0},
		&frame.Receipt{Conv: testConv, User: []byte("bob"), Delivered: 5, Read: 4},
		&frame.Signaled{Conv: testConv, Sender: []byte("bob"), Name: []byte("typing"), Body: raw(true)},
		&frame.Presence{Conv: testConv, User: []byte("bob"), Online: true},
	)
	for _, want := range []string{
		fmt.Sprint(Notice{Conversation: testConv, State: Assigned, Agent: "eve"}),
		fmt.Sprint(Receipt{testConv, "bob", 5, 4}),
		fmt.Sprint(Signal{testConv, "bob", "typing", raw(true)}),
		fmt.Sprint(Presence{testConv, "bob", true}),
	} {
		if got := fmt.Sprint(<-told); got != want {
			t.Errorf("told %s, want %s", got, want)
		}
	}
	if conv.Info().Agent != "eve" {
		t.Errorf("info is %+v", conv.Info())
	}
	if err := conv.Signal("typing", true); err != nil {
		t.Fatal(err)
	}
	if f := expect(p, &frame.Signal{}); string(f.Name) != "typing" || f.Conv != testConv {
		t.Errorf("signalled %+v", f)
	}
	if conv.Signal("", nil) == nil || conv.Signal("a name that is longer than thirty-two bytes", nil) == nil {
		t.Error("a bad name is not refused")
	}
}

func TestNoticesAreMergedByConversation(t *testing.T) {
	c, p := startFake(t)
	other := ID{7}
	p.send(
		&frame.Conversation{Conv: testConv, State: frame.StateQueued},
		&frame.Conversation{Conv: other, State: frame.StateQueued},
		&frame.Conversation{Conv: testConv, State: frame.StateAssigned, Agent: []byte("bob")},
	)
	open(c, p, 0) // the notices came before its answer
	var got []Notice
	for n := range c.Conversations(testContext(t)) {
		if got = append(got, n); len(got) == 2 {
			break
		}
	}
	if got[0].Conversation != testConv || got[0].Agent != "bob" || got[1].Conversation != other {
		t.Errorf("got %+v", got)
	}
}

// When too many notices wait, the oldest goes, and the list is asked for again once the rest was read.
func TestNoticesOverflowAsksForTheList(t *testing.T) {
	c, p := startFake(t)
	for i := range maxNotices + 1 {
		p.send(&frame.Conversation{Conv: ID{1, byte(i >> 8), byte(i)}, State: frame.StateQueued})
	}
	open(c, p, 0)
	for i := range maxNotices {
		n, err := c.NextConversation(testContext(t))
		if err != nil || n.Conversation != (ID{1, byte((i + 1) >> 8), byte(i + 1)}) {
			t.Fatalf("notice %d: %+v, %v", i, n, err)
		}
	}
	if hello := expect(p, &frame.Hello{}); hello.Flags != frame.HelloList {
		t.Errorf("hello with flags %d", hello.Flags)
	}
}

func TestStatusIsRepeated(t *testing.T) {
	s := newFakeServer(t)
	c, p := s.start(s.options())
	during(t, func() (struct{}, error) { return struct{}{}, c.SetStatus(testContext(t), Online, 4) }, func() {
		request := expect(p, &frame.Status{})
		p.send(&frame.Ack{Ref: request.Ref})
	})
	p.conn.Close()
	p = s.welcome()
	if again := expect(p, &frame.Status{}); again.Status != frame.AgentOnline || again.Capacity != 4 {
		t.Errorf("repeated as %+v", again)
	}
}

// Fields and frame types of later versions are ignored.
func TestUnknownFramesAndFieldsAreIgnored(t *testing.T) {
	c, p := startFake(t)
	conv := open(c, p, 0)
	longer := text(1, "a").Append(nil)
	longer[0]++ // one element more
	longer = append(longer, 0xc3)
	unknown := []byte{0x93, 0x7e, 0x01, 0xa1, 'x'}
	p.write(ws.NewBinaryFrame(append(unknown, longer...)))
	receive(t, conv, "a")
}

func TestFragmentsAndPings(t *testing.T) {
	c, p := startFake(t)
	conv := open(c, p, 0)
	whole := text(1, "a").Append(nil)
	p.write(ws.NewFrame(ws.OpBinary, false, whole[:5]))
	p.write(ws.NewPingFrame([]byte("are you there")))
	p.write(ws.NewFrame(ws.OpContinuation, false, whole[5:6]))
	p.write(ws.NewFrame(ws.OpContinuation, true, whole[6:]))
	receive(t, conv, "a")
	for len(p.pongs) == 0 {
		if err := p.readMessage(); err != nil {
			t.Fatal(err)
		}
	}
	if p.pongs[0] != "are you there" {
		t.Errorf("pong with %q", p.pongs[0])
	}
}

// Whatever breaks the protocol ends that connection, not the client.
func TestNonsenseFromTheServerReconnects(t *testing.T) {
	s := newFakeServer(t)
	opts := s.options()
	opts.MaxReceive = 1000
	for name, f := range map[string]ws.Frame{
		"not a frame":       ws.NewBinaryFrame([]byte("hello")),
		"text":              ws.NewTextFrame([]byte("hello")),
		"masked":            ws.MaskFrame(ws.NewBinaryFrame([]byte{0x91, 0x7e})),
		"too large":         ws.NewBinaryFrame(make([]byte, 1001)),
		"reserved opcode":   ws.NewFrame(3, true, nil),
		"lone fragment":     ws.NewFrame(ws.OpContinuation, true, nil),
		"declares an ocean": {Header: ws.Header{Fin: true, OpCode: ws.OpBinary, Length: 1 << 62}},
	} {
		t.Run(name, func(t *testing.T) {
			_, p := s.start(opts)
			p.write(f)
			s.welcome()
		})
	}
}
