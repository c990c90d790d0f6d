package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/switchyard-im/switchyard/frame"
	switchyard "github.com/switchyard-im/switchyard/sdk/go"
	"github.com/switchyard-im/switchyard/sink/history/chtest"
)

// The desk over real sockets: what users of comparable systems miss (queues, transfers, timers), with the Go client.

// place is an installation with a routing file, and people who come to it.
type place struct {
	*town
	ctx context.Context
	p   *process
}

// newPlace starts a server with these groups.
func newPlace(t *testing.T, groups string, args ...string) *place {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	i := newInstallation(t, append(args, "--set", "routing.file="+write(t, "routing.yaml", "groups:\n"+groups))...)
	s := &place{town: &town{installation: i}, ctx: ctx}
	s.p, _ = i.start()
	return s
}

// come connects somebody, under a token of these groups.
func (s *place) come(user string, role frame.Role, groups ...string) *person {
	s.t.Helper()
	c, err := s.client(s.ctx, user, role, groups...)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = c.Close() })
	return &person{Client: c, place: s, name: user}
}

// agent comes, and the desk knows it, with this status.
func (s *place) agent(user string, status switchyard.AgentStatus, capacity int, groups ...string) *person {
	s.t.Helper()
	a := s.come(user, frame.RoleAgent, groups...)
	s.ok(a.SetStatus(s.ctx, status, capacity))
	return a
}

func (s *place) ok(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

type person struct {
	*switchyard.Client
	place *place
	name  string
}

// opens opens a conversation.
func (p *person) opens(group string, opts switchyard.OpenOptions) *switchyard.Conversation {
	p.place.t.Helper()
	conv, err := p.Open(p.place.ctx, group, opts)
	p.place.ok(err)
	return conv
}

// joins follows a conversation from its begin.
func (p *person) joins(id frame.ID) *switchyard.Conversation {
	p.place.t.Helper()
	conv, err := p.Resume(p.place.ctx, id, 0)
	p.place.ok(err)
	return conv
}

// until reads up to an event of this name, which it returns with its message.
func (s *place) until(conv *switchyard.Conversation, name string) (switchyard.ServerEvent, switchyard.Message) {
	s.t.Helper()
	for {
		m, err := conv.Receive(s.ctx)
		if err != nil {
			s.t.Fatalf("waiting for %s: %v", name, err)
		}
		if m.EventName() == name {
			return m.Event(), m
		}
	}
}

// order returns who waits.
func (s *place) order(p *person, group string) (visitors []string) {
	s.t.Helper()
	q, err := p.Watch(s.ctx, group, switchyard.MaxQueueLimit)
	s.ok(err)
	defer q.Close()
	for _, e := range q.View().Entries {
		visitors = append(visitors, e.Visitor)
	}
	return visitors
}

func (s *place) orderIs(p *person, group string, want ...string) {
	s.t.Helper()
	if got := s.order(p, group); !slices.Equal(got, want) {
		s.t.Errorf("in %s wait %v, want %v", group, got, want)
	}
}

func (s *place) refused(err error, code uint64) {
	s.t.Helper()
	if e := (*switchyard.ServerError)(nil); !errors.As(err, &e) || e.Code != code {
		s.t.Errorf("got %v, want %s", err, frame.ErrorName(code))
	}
}

// TestClaimRace has ten agents want the same conversation: one gets it, and the others are told who (LESSONS 11).
func TestClaimRace(t *testing.T) {
	s := newPlace(t, "  sales: {strategy: manual}\n")
	conv := s.come("vic", frame.RoleVisitor).opens("sales", switchyard.OpenOptions{})
	const agents = 10
	var errs [agents]error
	var racing sync.WaitGroup
	start := make(chan struct{})
	for n := range agents {
		a := s.agent(fmt.Sprint("a", n), switchyard.Online, 5, "sales")
		racing.Go(func() {
			<-start
			errs[n] = a.Claim(s.ctx, conv.ID())
		})
	}
	close(start)
	racing.Wait()
	winner, _ := s.until(conv, "assigned")
	if winner.Reason != "claimed" {
		t.Errorf("%+v", winner)
	}
	won := 0
	for n, err := range errs {
		e := (*switchyard.ServerError)(nil)
		switch {
		case err == nil && winner.Agent == fmt.Sprint("a", n):
			won++
		case !errors.As(err, &e) || !errors.Is(err, switchyard.ErrTaken) || e.Text != winner.Agent:
			t.Errorf("a%d: %v, and %s has it", n, err, winner.Agent)
		}
	}
	if won != 1 {
		t.Errorf("%d agents were told that they have it", won)
	}
}

// TestQueueAndCapacity: nobody gets more than it can take; who waits hears its place, and is next in turn when an agent is free (LESSONS 9, 12).
func TestQueueAndCapacity(t *testing.T) {
	s := newPlace(t, "  sales: {}\n")
	ann := s.agent("ann", switchyard.Online, 1, "sales")
	first := s.come("v1", frame.RoleVisitor).opens("sales", switchyard.OpenOptions{})
	s.until(first, "assigned")
	places := make(chan switchyard.Position, 100)
	opts := s.as("v3", frame.RoleVisitor)
	opts.Handlers.Position = func(p switchyard.Position) { places <- p }
	v2 := s.come("v2", frame.RoleVisitor).opens("sales", switchyard.OpenOptions{})
	c, err := switchyard.Dial(s.ctx, "ws://"+s.listen+"/v1/ws", opts)
	s.ok(err)
	defer c.Close()
	third := (&person{Client: c, place: s}).opens("sales", switchyard.OpenOptions{})
	urgent := s.come("v4", frame.RoleVisitor).opens("sales", switchyard.OpenOptions{Priority: 5})
	s.orderIs(ann, "sales", "v4", "v2", "v3")
	for at := range places {
		if at.Place == 3 && at.Of == 3 && at.Conversation == third.ID() {
			break
		}
	}
	for _, next := range []*switchyard.Conversation{urgent, v2, third} {
		s.ok(ann.joins(s.has(ann)).Close(s.ctx))
		if e, _ := s.until(next, "assigned"); e.Agent != "ann" || e.Reason != "next_in_queue" {
			t.Errorf("%+v", e)
		}
	}
	s.orderIs(ann, "sales")
}

// has returns the conversation that the agent was given last.
func (s *place) has(p *person) (id frame.ID) {
	s.t.Helper()
	for {
		n, err := p.NextConversation(s.ctx)
		s.ok(err)
		if n.State == switchyard.Assigned && n.Agent == p.name {
			return n.Conversation
		}
	}
}

// TestTransfers goes through all kinds, each of which is one step: the conversation is in the new place and in no other, and who had it has it no more (LESSONS 11).
func TestTransfers(t *testing.T) {
	s := newPlace(t, "  sales: {reopen: 1h}\n  tech: {strategy: manual}\n")
	ann, bob := s.agent("ann", switchyard.Online, 5, "sales", "tech"), s.agent("bob", switchyard.Away, 5, "sales", "tech")
	vic := s.come("vic", frame.RoleVisitor)
	conv := vic.opens("sales", switchyard.OpenOptions{Subject: "a bill"})
	s.until(conv, "assigned")
	with := ann.joins(conv.ID())

	s.refused(with.Transfer(s.ctx, switchyard.Target{Agent: "bob"}), frame.ErrorConflict) // who is away
	s.refused(with.Transfer(s.ctx, switchyard.Target{Agent: "nobody"}), frame.ErrorConflict)
	s.refused(conv.Transfer(s.ctx, switchyard.Target{Agent: "bob"}), frame.ErrorForbidden) // the visitor asks
	s.ok(bob.SetStatus(s.ctx, switchyard.Online, 0))
	s.ok(with.Transfer(s.ctx, switchyard.Target{Agent: "bob"}))
	if e, _ := s.until(conv, "assigned"); e.Agent != "bob" || e.From != "ann" || e.By != "ann" || e.Reason != "transferred" {
		t.Errorf("%+v", e)
	}
	for { // ann hears of it, and follows no more
		if _, err := with.Receive(s.ctx); errors.Is(err, switchyard.ErrReassigned) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
	_, err := ann.Resume(s.ctx, conv.ID(), 0)
	s.refused(err, frame.ErrorForbidden)
	with = bob.joins(conv.ID())
	if m, err := with.Receive(s.ctx); err != nil || m.Event().Subject != "a bill" {
		t.Errorf("bob sees %+v, %v", m, err)
	}

	// To the queue of another group: behind the others, or before them.
	for _, v := range []string{"v1", "v2"} {
		s.come(v, frame.RoleVisitor).opens("tech", switchyard.OpenOptions{})
	}
	s.orderIs(ann, "tech", "v1", "v2")
	s.ok(with.Transfer(s.ctx, switchyard.Target{Group: "tech"}))
	if e, _ := s.until(conv, "queued"); e.Group != "tech" || e.From != "bob" || e.By != "bob" {
		t.Errorf("%+v", e)
	}
	s.orderIs(ann, "tech", "v1", "v2", "vic")
	s.ok(ann.Claim(s.ctx, conv.ID()))
	s.orderIs(ann, "tech", "v1", "v2")
	s.ok(ann.joins(conv.ID()).Transfer(s.ctx, switchyard.Target{Front: true}))
	s.orderIs(ann, "tech", "vic", "v1", "v2")

	s.ok(conv.Close(s.ctx))
	s.orderIs(ann, "tech", "v1", "v2")
	s.refused(conv.Reopen(s.ctx), frame.ErrorClosed) // tech does not let it
	s.refused(ann.Claim(s.ctx, conv.ID()), frame.ErrorClosed)
}

// TestReopenAndRate: the visitor goes on with a closed conversation, and rates it.
func TestReopenAndRate(t *testing.T) {
	s := newPlace(t, "  sales: {reopen: 1h, sticky: 1h}\n")
	s.agent("ann", switchyard.Online, 5, "sales")
	vic := s.come("vic", frame.RoleVisitor)
	conv := vic.opens("sales", switchyard.OpenOptions{})
	s.until(conv, "assigned")
	s.ok(conv.Close(s.ctx))
	if _, err := conv.Receive(s.ctx); !errors.Is(err, switchyard.ErrConversationClosed) {
		t.Error(err)
	}
	if _, err := conv.Send(s.ctx, "and"); !errors.Is(err, switchyard.ErrConversationClosed) {
		t.Errorf("a message to a closed one: %v", err)
	}
	s.ok(conv.Reopen(s.ctx))
	s.until(conv, "reopened")
	if e, _ := s.until(conv, "assigned"); e.Agent != "ann" {
		t.Errorf("%+v", e)
	}
	if _, err := conv.Send(s.ctx, "and"); err != nil {
		t.Error(err)
	}
	s.refused(conv.Rate(s.ctx, 6, ""), frame.ErrorBadRequest)
	s.ok(conv.Rate(s.ctx, 4, "good"))
	if e, _ := s.until(conv, "rated"); e.Rating != 4 || e.Comment != "good" || e.By != "vic" {
		t.Errorf("%+v", e)
	}
	s.p.signal(syscall.SIGKILL)
	s.p, _ = s.start()
	page, err := s.come("vic", frame.RoleVisitor).joins(conv.ID()).History(s.ctx, 0, 1)
	if s.ok(err); page.Messages[0].Event().Rating != 4 {
		t.Errorf("after a kill the last message is %+v", page.Messages[0])
	}
}

// TestSupervisor watches silently, joins, takes over and gives back.
func TestSupervisor(t *testing.T) {
	s := newPlace(t, "  sales: {}\n")
	ann := s.agent("ann", switchyard.Online, 5, "sales")
	sue, eve := s.come("sue", frame.RoleSupervisor, "sales"), s.come("eve", frame.RoleSupervisor, "elsewhere")
	conv := s.come("vic", frame.RoleVisitor).opens("sales", switchyard.OpenOptions{})
	s.until(conv, "assigned")
	with := ann.joins(conv.ID())

	_, err := eve.Resume(s.ctx, conv.ID(), 0)
	s.refused(err, frame.ErrorForbidden)
	watching := sue.joins(conv.ID())
	_, err = watching.Send(s.ctx, "hello")
	s.refused(err, frame.ErrorForbidden)
	s.ok(watching.Join(s.ctx))
	if e, _ := s.until(with, "joined"); e.By != "sue" {
		t.Errorf("%+v", e)
	}
	_, err = watching.Send(s.ctx, "hello")
	s.ok(err)

	s.ok(sue.Claim(s.ctx, conv.ID()))
	if e, _ := s.until(conv, "assigned"); e.Agent != "sue" || e.From != "ann" || e.Reason != "taken_over" {
		t.Errorf("%+v", e)
	}
	if e, _ := s.until(with, "assigned"); e.Agent != "sue" {
		t.Errorf("%+v", e)
	}
	s.refused(ann.Claim(s.ctx, conv.ID()), frame.ErrorTaken)
	s.ok(watching.Transfer(s.ctx, switchyard.Target{Agent: "ann"}))
	if e, _ := s.until(conv, "assigned"); e.Agent != "ann" || e.From != "sue" || e.By != "sue" {
		t.Errorf("%+v", e)
	}
	_, err = ann.joins(conv.ID()).Send(s.ctx, "again me")
	s.ok(err)
	s.ok(sue.SetAgentStatus(s.ctx, "ann", switchyard.Away, 0))
	s.come("v2", frame.RoleVisitor).opens("sales", switchyard.OpenOptions{})
	s.orderIs(ann, "sales", "v2")
	s.refused(eve.SetAgentStatus(s.ctx, "ann", switchyard.Online, 0), frame.ErrorForbidden)
	s.refused(sue.SetStatus(s.ctx, switchyard.Online, 0), frame.ErrorForbidden)
}

// TestLateAgentAfterKill: an agent who does not write loses the conversation, which goes to the front for somebody else (LESSONS 10). The time goes on over a kill:
// it is not counted anew. One that is on hold stays.
func TestLateAgentAfterKill(t *testing.T) {
	const reply = 4 * time.Second
	s := newPlace(t, "  sales: {first_reply: {warn: 1s, after: 4s}}\n")
	ann := s.agent("ann", switchyard.Online, 2, "sales")
	vic := s.come("vic", frame.RoleVisitor)
	conv, calm := vic.opens("sales", switchyard.OpenOptions{}), vic.opens("sales", switchyard.OpenOptions{})
	_, assigned := s.until(conv, "assigned")
	s.until(calm, "assigned")
	s.ok(ann.joins(calm.ID()).Hold(s.ctx, true))
	if e, m := s.until(conv, "warned"); e.Agent != "ann" || e.Reason != "no_first_reply" || m.Time.Sub(assigned.Time) < time.Second {
		t.Errorf("%+v after %v", e, m.Time.Sub(assigned.Time))
	}
	time.Sleep(time.Until(assigned.Time.Add(reply / 2))) // so that a time that is counted anew can be told from one that goes on
	s.p.signal(syscall.SIGKILL)
	s.p, _ = s.start()
	ready := time.Now()
	s.agent("bob", switchyard.Online, 2, "sales")

	late, left := s.until(conv, "assigned")
	if late.Agent != "bob" || late.From != "ann" || late.Reason != "no_first_reply" {
		t.Errorf("%+v", late)
	}
	if left.Time.Sub(assigned.Time) < reply || !left.Time.Before(ready.Add(reply)) {
		t.Errorf("she lost it %v after she got it, and %v after the restart", left.Time.Sub(assigned.Time), left.Time.Sub(ready))
	}
	page, err := calm.History(s.ctx, 0, 1)
	if s.ok(err); page.Messages[0].EventName() != "held" {
		t.Errorf("of the one on hold the last is %+v", page.Messages[0].Event())
	}
}

// TestVisitorIsTold: a full queue and closed hours are answered with the group's text, and the visitor hears when an agent comes and goes (LESSONS 12, 13).
func TestVisitorIsTold(t *testing.T) {
	closed := time.Now().UTC().AddDate(0, 0, 3).Format("Mon")[:2] // open on one day of the week only, which is not today
	s := newPlace(t, "  sales: {max_queue: 1, texts: {queue_full: come later, out_of_hours: we sleep}}\n"+
		"  night: {hours: \""+closed+" 09:00-18:00; zone Europe/Berlin\", outside: refuse, texts: {out_of_hours: we sleep}}\n")
	vic := s.come("vic", frame.RoleVisitor)
	vic.opens("sales", switchyard.OpenOptions{})
	for group, want := range map[string][2]string{"sales": {"queue_full", "come later"}, "night": {"out_of_hours", "we sleep"}} {
		conv := vic.opens(group, switchyard.OpenOptions{})
		if e, _ := s.until(conv, "closed"); e.Reason != want[0] || e.Text != want[1] {
			t.Errorf("%s: %+v", group, e)
		}
	}
}

// TestQueueGap: who follows a queue that changes faster than can be told sees the gap, asks again, and then has it right (LESSONS 11).
func TestQueueGap(t *testing.T) {
	i := newInstallation(t)
	i.start()
	w := i.login("sue", frame.RoleSupervisor)
	watch := func() (q frame.Queue) {
		w.frames((&frame.Watch{Ref: 7, Group: []byte(devGroup), Limit: 200}).Append(nil))
		if err := q.Parse(w.expect(frame.TypeQueue)); err != nil {
			t.Fatal(err)
		}
		return q
	}
	q := watch()
	const burst = 1000
	v := i.login("vic", frame.RoleVisitor)
	var opens []byte
	for n := range burst {
		opens = (&frame.Open{Key: frame.ID{1, byte(n >> 8), byte(n)}, Group: []byte(devGroup)}).Append(opens)
	}
	v.frames(opens)
	version, gaps := q.Version, 0
	for total := uint64(0); total < burst; {
		var c frame.QueueChange
		if err := c.Parse(w.expect(frame.TypeQueueChange)); err != nil {
			t.Fatal(err)
		}
		switch {
		case c.Version <= version:
			continue
		case c.Version > version+1:
			gaps++
			q = watch()
			version, total = q.Version, q.Total
			if q.Count != int(min(q.Total, 200)) || q.Version != q.Total {
				t.Errorf("version %d has %d entries of %d", q.Version, q.Count, q.Total)
			}
		default:
			version, total = c.Version, c.Total
		}
	}
	if gaps == 0 {
		t.Error("there was no gap")
	}
	if version != burst {
		t.Errorf("%d conversations wait at version %d", burst, version)
	}
}

// TestPositionsAreMerged: however fast a queue moves, a visitor hears of it at most once a second (LESSONS 12).
func TestPositionsAreMerged(t *testing.T) {
	i := newInstallation(t)
	i.start()
	const before = 40
	first := i.login("first", frame.RoleVisitor)
	var convs []frame.ID
	for n := range before {
		convs = append(convs, first.open(byte(n+1)))
	}
	v := i.login("vic", frame.RoleVisitor)
	mine := v.open(1)
	next := func() (p frame.Position) {
		for {
			if err := p.Parse(v.expect(frame.TypePosition)); err != nil {
				t.Fatal(err)
			}
			if p.Conv == mine {
				return p
			}
		}
	}
	if p := next(); p.Place != before+1 || p.Of < before+1 {
		t.Fatalf("%+v", p)
	}
	begin, heard := time.Now(), 0
	go func() {
		for _, conv := range convs { // one after the other, so that each could be told
			first.bytes(masked(2, (&frame.Close{Ref: 3, Conv: conv}).Append(nil)))
			time.Sleep(30 * time.Millisecond)
		}
	}()
	for at := before + 1; at > 1; heard++ {
		p := next()
		if int(p.Place) >= at {
			t.Errorf("from %d to %+v", at, p)
		}
		at = int(p.Place)
	}
	// A second apart by the server's clock; the first may come at once.
	if most := int(time.Since(begin)/time.Second) + 2; heard > most {
		t.Errorf("%d places were told in %v", heard, time.Since(begin))
	}
}

// TestRatingInHistory: what visitors think is in the reports, the last opinion of each.
func TestRatingInHistory(t *testing.T) {
	ch := chtest.Shared(t)
	database := ch.Database(t)
	s := newPlace(t, "  sales: {}\n", append(withClickhouse(ch.Addr, database), "--set", "api.listen=127.0.0.1:0")...)
	s.agent("ann", switchyard.Online, 5, "sales")
	conv := s.come("vic", frame.RoleVisitor).opens("sales", switchyard.OpenOptions{})
	s.until(conv, "assigned")
	s.ok(conv.Rate(s.ctx, 1, "slow"))
	s.ok(conv.Close(s.ctx))
	s.ok(conv.Rate(s.ctx, 4, "but good"))
	awaitRows(t, ch.Addr, database, 5+5) // opened, assigned, rated, closed, rated: each is a message and an event
	var table reportTable
	s.installation.as("http://"+s.api, "sue", frame.RoleSupervisor, "sales").answerOf("/v1/reports/ratings?by=agent&group=sales", &table)
	if len(table.Lines) != 1 || table.Lines[0].Key != "ann" || table.Lines[0].Count != 1 || table.Lines[0].P99 != 4 {
		t.Errorf("%+v", table)
	}
}
