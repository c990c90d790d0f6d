package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/switchyard-im/switchyard/bench/meter"
)

// Part is what a member has to do.
type Part struct {
	Index, Of int             // this is part Index of Of
	Body      json.RawMessage // the job, the same for all members

	// Gate waits until all members are at the gate of that name; the error is that of a context that ended before.
	Gate func(ctx context.Context, name string) error
	// Watch hands a sample to the controller. It may be called from several goroutines.
	Watch meter.Watch
}

// Work does a part and returns what it found, which is sent as JSON. When ctx ends, it ends early with what there is.
type Work func(ctx context.Context, p Part) (any, error)

// Serve is the life of a member with one controller: it returns when that has what it wants, or is lost, and then the work has ended. Version is that of the program;
// a controller of another version is refused. It closes conn.
func Serve(ctx context.Context, conn io.ReadWriteCloser, version string, work Work) error {
	l := newLink(conn)
	defer l.close()
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	m, ok := <-l.in
	switch {
	case !ok:
		return fmt.Errorf("cluster: the controller is lost before it said anything: %w", l.reason())
	case m.Kind != kindHello || m.Protocol != protocol || m.Version != version:
		return l.refuse(fmt.Sprintf("it is version %s (protocol %d), the controller is %s (protocol %d): run the same version everywhere", version, protocol, m.Version, m.Protocol))
	}
	if err := l.send(message{Kind: kindHello, Protocol: protocol, Version: version}); err != nil {
		return err
	}
	if m, ok = <-l.in; !ok || m.Kind != kindJob {
		return fmt.Errorf("cluster: the controller gave no job: %w", errors.Join(l.reason(), ctx.Err()))
	}
	stop() // from here on the end of ctx ends the work, which answers
	s := &session{link: l, gates: map[string]chan struct{}{}}
	return s.run(ctx, m, work)
}

// refuse tells the controller why there is nothing to be had, and waits until it has gone: an answer that is overtaken by the end of the connection is lost.
func (l *link) refuse(why string) error {
	_ = l.send(message{Kind: kindFailed, Text: why})
	for range l.in {
	}
	return errors.New("cluster: the controller was refused: " + why)
}

// session is a job under way.
type session struct {
	link *link

	mu    sync.Mutex
	gates map[string]chan struct{} // by name, closed when open; guarded by mu
}

func (s *session) run(ctx context.Context, job message, work Work) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	answer := make(chan message, 1)
	go func() { // ends with the work, which run waits for
		answer <- s.work(ctx, job, work)
	}()
	in, lost := s.link.in, error(nil)
	for {
		select {
		case m, ok := <-in:
			switch {
			case !ok:
				lost = fmt.Errorf("cluster: the controller is lost: %w", s.link.reason())
				in = nil
				cancel()
			case m.Kind == kindGo:
				s.open(m.Text)
			case m.Kind == kindStop:
				cancel()
			}
		case m := <-answer:
			if lost != nil {
				return lost
			}
			if err := s.link.send(m); err != nil {
				return err
			}
			for range s.link.in { // until the controller has it, and goes
			}
			return nil
		}
	}
}

// work is what the member answers.
func (s *session) work(ctx context.Context, job message, work Work) message {
	found, err := work(ctx, Part{Index: job.Part, Of: job.Of, Body: job.Body, Gate: s.gate, Watch: s.watch})
	if err != nil {
		return message{Kind: kindFailed, Text: err.Error()}
	}
	text, err := json.Marshal(found)
	if err != nil {
		return message{Kind: kindFailed, Text: err.Error()}
	}
	return message{Kind: kindDone, Body: text}
}

// watch is Part.Watch. A controller that is lost shows in the session.
func (s *session) watch(sample meter.Sample) {
	_ = s.link.send(message{Kind: kindSample, Sample: &sample})
}

func (s *session) gate(ctx context.Context, name string) error {
	if err := s.link.send(message{Kind: kindAt, Text: name}); err != nil {
		return err
	}
	select {
	case <-s.at(name):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// at is the gate of that name.
func (s *session) at(name string) chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.gates[name] == nil {
		s.gates[name] = make(chan struct{})
	}
	return s.gates[name]
}

func (s *session) open(name string) {
	gate := s.at(name)
	select {
	case <-gate:
	default:
		close(gate)
	}
}
