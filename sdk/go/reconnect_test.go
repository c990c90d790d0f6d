package switchyard

import (
	"context"
	"errors"
	"fmt"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/switchyard-im/switchyard/frame"
)

// The server is away for a while: the first attempt is immediate, then the waits double with jitter, and a fresh connection resumes.
func TestServerRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newPipeServer(t)
		w := testWelcome()
		w.RetryMaxMS = 20_000
		c, p := s.startWith(s.options(), w)
		conv := open(c, p, 1)
		drop(p)
		time.Sleep(25 * time.Second) // longer than RetryMaxMS, so the count starts anew
		s.refuse(5)
		lost := time.Now()
		p.conn.Close()
		p = s.welcome()
		resume := expect(p, &frame.Resume{})
		p.send(&frame.Resumed{Ref: resume.Ref, Conv: testConv, Recovered: true, After: 1, Head: 1}, text(2, "back"))
		receive(t, conv, "back")
		checkWaits(t, lost, s.dialed(), 0, 1, 2, 4, 8, 16)
		c.Close()
	})
}

// checkWaits compares the times between dials with the least waits in seconds; up to a second of jitter may come on top.
func checkWaits(t *testing.T, from time.Time, dials []time.Time, least ...time.Duration) {
	t.Helper()
	if len(dials) != len(least) {
		t.Fatalf("%d dials, want %d", len(dials), len(least))
	}
	for i, at := range dials {
		wait, low := at.Sub(from), least[i]*time.Second
		high := low + time.Second
		if low == 0 {
			high = 0
		}
		if wait < low || wait > high {
			t.Errorf("dial %d comes after %v, want %v to %v", i, wait, low, high)
		}
		from = at
	}
}

// A server that welcomes and drops is not hammered.
func TestShortConnectionsDoNotResetTheBackoff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newPipeServer(t)
		c, p := s.start(s.options())
		s.refuse(0)
		from := time.Now()
		for range 4 {
			p.conn.Close()
			p = s.welcome()
		}
		checkWaits(t, from, s.dialed(), 0, 1, 2, 4)
		c.Close()
	})
}

func TestWelcomeSetsThePolicy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newPipeServer(t)
		w := testWelcome()
		w.RetryMinMS, w.RetryMaxMS, w.RetryJitterMS = 5000, 12000, 1000
		c, p := s.startWith(s.options(), w)
		s.refuse(4)
		from := time.Now()
		p.conn.Close()
		s.welcome()
		checkWaits(t, from, s.dialed(), 0, 5, 10, 11, 11)
		c.Close()
	})
}

// A drain names the time and the place of the next connection, and the old one works until then.
func TestDrainGoesToItsTarget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newPipeServer(t)
		var addresses []string
		opts, dial := s.options(), s.dial
		opts.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
			addresses = append(addresses, addr)
			return dial(ctx, network, addr)
		}
		c, p := s.start(opts)
		conv := open(c, p, 1)
		from := time.Now()
		s.refuse(0)
		p.send(&frame.Drain{DelayMS: 3000, WindowMS: 2000, Target: []byte("ws://other:99/v1/ws")}, text(2, "still here"))
		receive(t, conv, "still here")
		p.expectMark(frame.TypeDelivered, 2)
		if _, _, err := p.next(); !errors.As(err, new(*CloseError)) {
			t.Errorf("the old connection ends with %v", err)
		}
		p.conn.Close()
		p = s.welcome()
		expect(p, &frame.Resume{})
		if wait := s.dialed()[0].Sub(from); wait < 3*time.Second || wait > 5*time.Second || addresses[1] != "other:99" {
			t.Errorf("dialled %v after %v", addresses, wait)
		}
		p.conn.Close()
		s.welcome() // and then home again
		if addresses[2] != "pipe:80" {
			t.Errorf("dialled %v", addresses)
		}
		c.Close()
	})
}

// A server that goes before the time it gave does not bring the reconnect forward.
func TestDrainKeepsItsTimeWhenTheServerGoesEarly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newPipeServer(t)
		opts := s.options()
		draining := make(chan struct{})
		opts.Handlers.Connection = func(state ConnectionState, _ error) {
			if state == Draining {
				close(draining)
			}
		}
		c, p := s.start(opts)
		from := time.Now()
		s.refuse(0)
		p.send(&frame.Drain{DelayMS: 8000})
		<-draining
		p.close(frame.CloseDrain, "bye")
		s.welcome()
		checkWaits(t, from, s.dialed(), 8)
		c.Close()
	})
}

// A drain that comes before the welcome counts like any other: for the next connection if the server closes, for this one if it does not.
func TestDrainBeforeWelcome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newPipeServer(t)
		c, p := s.start(s.options())
		s.refuse(0)
		from := time.Now()
		p.conn.Close()
		p = s.accept()
		expect(p, &frame.Hello{})
		p.send(&frame.Drain{DelayMS: 6000})
		p.close(frame.CloseDrain, "bye")
		p = s.accept()
		expect(p, &frame.Hello{})
		p.send(&frame.Drain{DelayMS: 3000}, testWelcome())
		if _, _, err := p.next(); !errors.As(err, new(*CloseError)) {
			t.Errorf("the second connection ends with %v", err)
		}
		p.conn.Close()
		s.welcome()
		checkWaits(t, from, s.dialed(), 0, 6, 3)
		c.Close()
	})
}

func TestPermanentCloseEndsTheClient(t *testing.T) {
	s := newFakeServer(t)
	opts := s.options()
	var states []ConnectionState
	opts.Handlers.Connection = func(state ConnectionState, _ error) { states = append(states, state) }
	c, p := s.start(opts)
	conv := open(c, p, 1)
	pending := post(t, conv, "x")
	expectSend(p, "x")
	p.close(frame.CloseForbidden, "go away")
	<-c.Done()
	closed, ok := errors.AsType[*CloseError](c.Err())
	if !ok || closed.Code != frame.CloseForbidden || closed.Reason != "go away" {
		t.Errorf("the client ends with %v", c.Err())
	}
	if _, err := pending.Wait(testContext(t)); !errors.As(err, new(*CloseError)) || !errors.As(err, new(*SendError)) {
		t.Errorf("Wait: %v", err)
	}
	for name, err := range map[string]error{
		"Receive": second(conv.Receive(testContext(t))), "Post": second(conv.Post(testContext(t), "y")),
		"Open":             second(c.Open(testContext(t), "sales", OpenOptions{})),
		"Attach":           second(c.Attach(testContext(t), ID{3})),
		"History":          second(conv.History(testContext(t), 0, 0)),
		"NextConversation": second(c.NextConversation(testContext(t))),
		"Signal":           conv.Signal("typing", true),
	} {
		if !errors.As(err, new(*CloseError)) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if fmt.Sprint(states) != "[connected disconnected failed]" {
		t.Errorf("states %v", states)
	}
}

func second[T any](_ T, err error) error { return err }

func TestCloseEndsEverything(t *testing.T) {
	c, p := startFake(t)
	conv := open(c, p, 0)
	p.send(text(1, "a"))
	receive(t, conv, "a")
	pending := post(t, conv, "x")
	expectSend(p, "x")
	closed := make(chan struct{})
	go func() { defer close(closed); c.Close() }()
	p.expectMark(frame.TypeDelivered, 1) // marks that wait go out first
	if _, _, err := p.next(); !errors.As(err, new(*CloseError)) {
		t.Errorf("the connection ends with %v", err)
	}
	<-closed
	if _, err := pending.Wait(testContext(t)); !errors.Is(err, ErrClosed) {
		t.Errorf("Wait: %v", err)
	}
	if _, err := conv.Receive(testContext(t)); err != ErrClosed {
		t.Errorf("Receive: %v", err)
	}
	c.Close() // again: nothing
}

// Close does not wait for a server that does not read, nor for one that is away.
func TestCloseWhileAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newPipeServer(t)
		c, p := s.start(s.options())
		s.refuse(1000)
		p.conn.Close()
		time.Sleep(time.Hour)
		c.Close()
		if c.Err() != ErrClosed {
			t.Errorf("ends with %v", c.Err())
		}
	})
}

// The token is renewed on the same connection after four fifths of its life.
func TestTokenIsRefreshedBeforeItExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newPipeServer(t)
		opts := s.options()
		calls := 0
		opts.Token = func(context.Context) (string, error) {
			calls++
			if calls == 2 {
				return "", errors.New("the token service is away")
			}
			return fmt.Sprint("token ", calls), nil
		}
		w := testWelcome()
		w.ExpiresMS = w.ServerMS + 100_000
		from := time.Now()
		c, p := s.startWith(opts, w)
		hello := expect(p, &frame.Hello{})
		if at := time.Since(from); string(hello.Token) != "token 3" || at < 80*time.Second || at > 90*time.Second {
			t.Errorf("hello with %q after %v", hello.Token, at)
		}
		w.Ref, w.ServerMS, w.ExpiresMS = hello.Ref, w.ServerMS+85_000, w.ServerMS+185_000
		p.send(w)
		hello = expect(p, &frame.Hello{})
		if at := time.Since(from); string(hello.Token) != "token 4" || at < 160*time.Second {
			t.Errorf("hello with %q after %v", hello.Token, at)
		}
		c.Close()
	})
}

// An expired token is no end: the next connection asks for a new one.
func TestTokenExpiredAsksAgain(t *testing.T) {
	s := newFakeServer(t)
	opts := s.options()
	calls := 0
	opts.Token = func(context.Context) (string, error) { calls++; return fmt.Sprint("token ", calls), nil }
	_, p := s.start(opts)
	p.close(frame.CloseTokenExpired, "expired")
	p = s.accept()
	hello := expect(p, &frame.Hello{})
	if string(hello.Token) != "token 2" {
		t.Errorf("hello with %q", hello.Token)
	}
	p.send(&frame.Error{Ref: hello.Ref, Code: frame.ErrorTokenExpired, Text: []byte("expired as well")})
	p = s.accept()
	if hello := expect(p, &frame.Hello{}); string(hello.Token) != "token 3" {
		t.Errorf("hello with %q", hello.Token)
	}
	p.send(testWelcome())
}

func TestUnauthorizedOnReconnectEndsTheClient(t *testing.T) {
	s := newFakeServer(t)
	c, p := s.start(s.options())
	p.conn.Close()
	p = s.accept()
	hello := expect(p, &frame.Hello{})
	p.send(&frame.Error{Ref: hello.Ref, Code: frame.ErrorUnauthorized, Text: []byte("another key")})
	<-c.Done()
	if refused, ok := errors.AsType[*ServerError](c.Err()); !ok || refused.Code != frame.ErrorUnauthorized {
		t.Errorf("ends with %v", c.Err())
	}
}

// Heartbeats measure the round trip and the clock; a server that falls silent is given up after two of them.
func TestSilentServerIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newPipeServer(t)
		opts := s.options()
		var reason error
		opts.Handlers.Connection = func(state ConnectionState, err error) {
			if state == Disconnected && reason == nil {
				reason = err
			}
		}
		c, p := s.start(opts)
		conv := open(c, p, 0)
		silent := time.Now()
		p.send(text(1, "a"))
		receive(t, conv, "a")
		p.expectMark(frame.TypeDelivered, 1) // the first heartbeat came before it, and was answered
		synctest.Wait()
		if clock := c.Clock(); clock.Offset != 5*time.Second || clock.RoundTrip != 0 {
			t.Errorf("clock %+v", clock)
		}
		drop(p)
		s.refuse(0)
		s.welcome()
		checkWaits(t, silent.Add(60*time.Second), s.dialed(), 0)
		synctest.Wait()
		if reason != ErrSilent {
			t.Errorf("given up because of %v", reason)
		}
		c.Close()
	})
}

// drop reads everything until the connection ends, and answers nothing.
func drop(p *peer) {
	go func() {
		buf := make([]byte, 4096)
		for {
			p.conn.SetReadDeadline(time.Time{})
			if _, err := p.conn.Read(buf); err != nil {
				return
			}
		}
	}()
}

// A server that takes no bytes is given up after WriteTimeout.
func TestStuckWriteIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newPipeServer(t)
		opts := s.options()
		opts.WriteTimeout = 3 * time.Second
		c, p := s.start(opts)
		conv := open(c, p, 0)
		synctest.Wait()
		from := time.Now()
		s.refuse(0)
		post(t, conv, "into the void")
		s.welcome()
		checkWaits(t, from.Add(3*time.Second), s.dialed(), 0)
		c.Close()
	})
}

func TestOverloadedCloseSkipsTheImmediateAttempt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newPipeServer(t)
		c, p := s.start(s.options())
		from := time.Now()
		s.refuse(0)
		p.close(frame.CloseOverloaded, "shedding")
		s.welcome()
		checkWaits(t, from, s.dialed(), 1)
		c.Close()
	})
}

func TestRetryAfterOfTheUpgradeCounts(t *testing.T) {
	for _, status := range []string{"503 Service Unavailable", "429 Too Many Requests"} {
		synctest.Test(t, func(t *testing.T) {
			s := newPipeServer(t)
			c, p := s.start(s.options())
			from := time.Now()
			s.refuse(0)
			p.conn.Close()
			refuse(t, s, "HTTP/1.1 "+status+"\r\nRetry-After: 7\r\nContent-Length: 0\r\n\r\n")
			s.welcome()
			checkWaits(t, from, s.dialed(), 0, 7)
			c.Close()
		})
	}
}

// refuse answers the next upgrade with plain HTTP.
func refuse(t *testing.T, s *fakeServer, answer string) {
	conn := <-s.conns
	buf := make([]byte, 4096)
	if _, err := conn.Read(buf); err != nil {
		t.Error(err)
	}
	if _, err := conn.Write([]byte(answer)); err != nil {
		t.Error(err)
	}
	conn.Close()
}

func TestDialErrors(t *testing.T) {
	s := newFakeServer(t)
	for _, address := range []string{"http://127.0.0.1/v1/ws", "127.0.0.1:8080", "ws:///v1/ws", "ws://\x7f"} {
		if _, err := Dial(testContext(t), address, s.options()); err == nil {
			t.Errorf("%q is not refused", address)
		}
	}
	if _, err := Dial(testContext(t), s.url, Options{}); err == nil {
		t.Error("a missing Token is not refused")
	}
	opts := s.options()
	opts.InboxSize = -1
	if _, err := Dial(testContext(t), s.url, opts); err == nil {
		t.Error("a negative option is not refused")
	}
	_, err := attempted(func() (*Client, error) { return Dial(testContext(t), s.url, s.options()) }, func() {
		refuse(t, s, "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
	})
	if refused, ok := errors.AsType[*HandshakeError](err); !ok || refused.Status != 404 {
		t.Errorf("404: %v", err)
	}
	_, err = attempted(func() (*Client, error) { return Dial(testContext(t), s.url, s.options()) }, func() {
		p := s.accept()
		hello := expect(p, &frame.Hello{})
		p.send(&frame.Error{Ref: hello.Ref, Code: frame.ErrorUnauthorized})
	})
	if !errors.As(err, new(*ServerError)) {
		t.Errorf("unauthorized: %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	_, err = attempted(func() (*Client, error) { return Dial(ctx, s.url, s.options()) }, func() {
		expect(s.accept(), &frame.Hello{})
		cancel()
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func TestAgentAndListOptions(t *testing.T) {
	s := newFakeServer(t)
	opts := s.options()
	opts.Agent, opts.ListConversations = "desk 1.2", true
	done := make(chan *Client)
	go func() {
		c, _ := Dial(testContext(t), s.url, opts)
		done <- c
	}()
	p := s.accept()
	hello := expect(p, &frame.Hello{})
	if string(hello.Agent) != "desk 1.2" || hello.Flags != frame.HelloList || string(hello.Token) != "token" {
		t.Errorf("hello %+v", hello)
	}
	p.send(testWelcome(), &frame.Conversation{Conv: testConv, State: frame.StateAssigned}) // right behind, in one message
	c := <-done
	defer c.Close()
	if n, err := c.NextConversation(testContext(t)); err != nil || n.Conversation != testConv {
		t.Errorf("got %+v, %v", n, err)
	}
	if user, role := c.User(); user != "ann" || role != "visitor" {
		t.Errorf("user %q, role %q", user, role)
	}
}
