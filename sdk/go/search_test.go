package switchyard

import (
	"errors"
	"testing"

	"github.com/switchyard-im/switchyard/frame"
)

// page makes an answer to a history request.
func page(ref uint64, more bool, messages ...*frame.Message) *frame.Page {
	p := &frame.Page{Ref: ref, Conv: testConv, More: more, Count: len(messages)}
	for _, m := range messages {
		p.Messages = m.Append(p.Messages)
	}
	return p
}

// refuseBase lets a message be refused because its base is too far behind, and returns the client's request for the history.
func refuseBase(t *testing.T, p *peer, body string) (*frame.Send, *frame.History) {
	t.Helper()
	f := expectSend(p, body)
	p.send(&frame.Error{Ref: f.Ref, Code: frame.ErrorBadSequence, Text: []byte("base too far behind")})
	return f, expect(p, &frame.History{})
}

func TestRefusedBaseIsFoundInTheHistory(t *testing.T) {
	c, p := startFake(t)
	conv := open(c, p, 1)
	pending := post(t, conv, "x")
	f, request := refuseBase(t, p, "x")
	if request.Before != 0 {
		t.Errorf("the search starts before %d", request.Before)
	}
	p.send(page(request.Ref, true, text(9001, "a"), text(9002, "b")))
	request = expect(p, &frame.History{})
	if request.Before != 9001 {
		t.Errorf("the search goes on before %d", request.Before)
	}
	p.send(page(request.Ref, true, text(8999, "c"), own(f, 9000)))
	accepted(t, pending, 9000)
}

// What is not in the history is sent again from the head that the search began with, and before what was posted after it.
func TestRefusedBaseThatIsNotFoundIsSentAgain(t *testing.T) {
	c, p := startFake(t)
	conv := open(c, p, 1)
	post(t, conv, "x")
	f, request := refuseBase(t, p, "x")
	post(t, conv, "y")
	p.send(page(request.Ref, true, text(9001, "a"), text(9002, "b")))
	request = expect(p, &frame.History{})
	p.send(page(request.Ref, false, text(1, "c")))
	again := expectSend(p, "x")
	if again.ID != f.ID || again.Base != 9002 {
		t.Errorf("sent again as %+v", again)
	}
	expectSend(p, "y")
}

// A lost connection in the middle of a search neither ends it nor sends the message twice.
func TestSearchOverReconnect(t *testing.T) {
	s := newFakeServer(t)
	c, p := s.start(s.options())
	conv := open(c, p, 1)
	post(t, conv, "x")
	refuseBase(t, p, "x")
	p.conn.Close()
	p = s.welcome()
	request := expect(p, &frame.History{})
	resume := expect(p, &frame.Resume{})
	p.send(&frame.Resumed{Ref: resume.Ref, Conv: testConv, After: 1, Head: 9000})
	p.send(page(request.Ref, false, text(9000, "a")))
	if again := expectSend(p, "x"); again.Base != 9000 {
		t.Errorf("sent again as %+v", again)
	}
}

func TestSearchWithoutAnswerIsUncertain(t *testing.T) {
	c, p := startFake(t)
	conv := open(c, p, 1)
	pending := post(t, conv, "x")
	_, request := refuseBase(t, p, "x")
	p.send(&frame.Error{Ref: request.Ref, Code: frame.ErrorForbidden})
	_, err := pending.Wait(testContext(t))
	if e, ok := errors.AsType[*SendError](err); !ok || !e.MayArrive || !errors.As(err, new(*ServerError)) {
		t.Errorf("got %v", err)
	}
}

// A replay that the server had to break off is asked for again.
func TestBrokenReplayIsResumed(t *testing.T) {
	s := newFakeServer(t)
	c, p := s.start(s.options())
	conv := open(c, p, 1)
	p.conn.Close()
	p = s.welcome()
	resume := expect(p, &frame.Resume{})
	p.send(&frame.Resumed{Ref: resume.Ref, Conv: testConv, Recovered: true, After: 1, Head: 3, Count: 2}, text(2, "a"),
		&frame.Error{Code: frame.ErrorUnavailable, Text: []byte("the store failed"), RetryMS: 1})
	if resume = expect(p, &frame.Resume{}); resume.After != 2 {
		t.Fatalf("resumes after %d", resume.After)
	}
	p.send(&frame.Resumed{Ref: resume.Ref, Conv: testConv, Recovered: true, After: 2, Head: 3, Count: 1}, text(3, "b"))
	receive(t, conv, "a")
	receive(t, conv, "b")
}

// A page that lacks older messages proves nothing: the message is not sent again.
func TestSearchInAPartialHistoryIsUncertain(t *testing.T) {
	c, p := startFake(t)
	conv := open(c, p, 1)
	pending := post(t, conv, "x")
	_, request := refuseBase(t, p, "x")
	answer := page(request.Ref, true, text(9001, "a"))
	answer.PartialFrom = 9001
	p.send(answer)
	_, err := pending.Wait(testContext(t))
	if e, ok := errors.AsType[*SendError](err); !ok || !e.MayArrive {
		t.Errorf("got %v", err)
	}
}

// A replay of messages that the server keeps no more is over: the gap is told, and what waits is sent.
func TestReplayOfWhatIsGoneIsTold(t *testing.T) {
	s := newFakeServer(t)
	c, p := s.start(s.options())
	conv := open(c, p, 1)
	p.conn.Close()
	p = s.welcome()
	resume := expect(p, &frame.Resume{})
	post(t, conv, "x")
	p.send(&frame.Resumed{Ref: resume.Ref, Conv: testConv, Recovered: true, After: 1, Head: 9, Count: 8}, text(2, "a"),
		&frame.Resumed{Conv: testConv, After: 2, Head: 9}, text(10, "b"))
	expectSend(p, "x")
	receive(t, conv, "a")
	expectGap(t, conv, 2, 9)
	receive(t, conv, "b")
}
