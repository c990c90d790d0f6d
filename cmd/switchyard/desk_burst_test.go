package main

import (
	"bytes"
	"cmp"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/switchyard-im/switchyard/dispatch/core"
	"github.com/switchyard-im/switchyard/frame"
	switchyard "github.com/switchyard-im/switchyard/sdk/go"
)

// How many conversations TestAssignmentLatency opens, and how long it waits between them on average; "make routing" has it open 5,000.
var (
	assignCount = flag.Int("assign.count", 200, "conversations of TestAssignmentLatency")
	assignPause = flag.Duration("assign.pause", 4*time.Millisecond, "mean time between the conversations of TestAssignmentLatency")
)

// The crowd of both tests.
const (
	crowdAgents   = 200
	crowdCapacity = 5 // as the default is
	crowdVisitors = 100
)

// crowd is visitors with a connection each, whose conversations a test opens and closes, and agents who are merely there.
type crowd struct {
	t        *testing.T
	i        *installation
	visitors []*wire
	owner    map[frame.ID]*wire
	assigned chan assignment
	told     chan frame.Position
}

// assignment is that a visitor was told that somebody has its conversation.
type assignment struct {
	conv frame.ID
	at   time.Time
}

func newCrowd(t *testing.T, i *installation) *crowd {
	c := &crowd{t: t, i: i, owner: map[frame.ID]*wire{}, assigned: make(chan assignment, 1<<16), told: make(chan frame.Position, 1<<18)}
	for n := range crowdVisitors {
		v := i.login(fmt.Sprint("v", n), frame.RoleVisitor)
		c.visitors = append(c.visitors, v)
		go c.listen(v) // ends with the connection
	}
	for n := range crowdAgents {
		i.arrive(fmt.Sprint("agent", n))
	}
	return c
}

// listen tells what a visitor hears.
func (c *crowd) listen(v *wire) {
	for {
		typ, f, code := v.next()
		switch {
		case code != 0:
			return
		case typ == frame.TypePosition:
			var p frame.Position
			if p.Parse(f) == nil {
				p.Group = nil // it is borrowed
				c.told <- p
			}
		case typ == frame.TypeMessage:
			var m frame.Message
			if m.Parse(f) == nil && (switchyard.Message{Kind: m.Kind, Body: switchyard.Raw(m.Body)}).EventName() == "assigned" {
				c.assigned <- assignment{m.Conv, time.Now()}
			}
		case typ == frame.TypeError:
			var e frame.Error
			if e.Parse(f) != nil || e.RetryMS == 0 || e.Ref == 0 {
				c.t.Errorf("refused: %s", e.Text)
			}
			// Not now: under the race detector the reads of the store are too slow for all of them.
			time.AfterFunc(time.Duration(e.RetryMS)*time.Millisecond, func() { v.frames(nthOpen(int(e.Ref - 1)).Append(nil)) })
		}
	}
}

// next waits for the next assignments.
func (c *crowd) next(n int) (convs []assignment) {
	c.t.Helper()
	for range n {
		select {
		case a := <-c.assigned:
			convs = append(convs, a)
		case <-time.After(patience):
			c.t.Fatalf("%d of %d are assigned", len(convs), n)
		}
	}
	return convs
}

// close ends conversations.
func (c *crowd) close(convs []assignment) {
	for _, a := range convs {
		c.owner[a.conv].frames((&frame.Close{Conv: a.conv}).Append(nil))
	}
}

// TestBurstOfConversations opens 10,000 conversations at once before 200 agents of capacity 5. A thousand are served, the others wait and hear their places; and
// whoever is free gets who has waited longest, until nobody waits.
func TestBurstOfConversations(t *testing.T) {
	const convs, window = 10_000, 100
	i := newInstallation(t)
	i.start()
	c := newCrowd(t, i)
	sue := i.login("sue", frame.RoleSupervisor)
	for n, v := range c.visitors {
		var opens []byte
		for k := range convs / crowdVisitors {
			open := nthOpen(k)
			c.owner[conversationOf(n, open.Key)] = v
			opens = open.Append(opens)
		}
		v.frames(opens)
	}
	served := c.next(crowdAgents * crowdCapacity)
	waiting := convs - len(served)
	var q frame.Queue
	for q.Total != uint64(waiting) {
		q = sue.queue()
	}
	places := c.places(waiting)

	// Every one of them is the next in turn; who is next is seen before an agent becomes free.
	var order []frame.QueueChange
	for len(order) < waiting {
		next := entries(t, sue.queue(), window)
		expected := map[frame.ID]bool{}
		for _, e := range next {
			expected[e.Conv] = true
		}
		c.close(served[:len(next)])
		got := c.next(len(next))
		for _, a := range got {
			if !expected[a.conv] {
				t.Fatalf("after %d of those who waited came %v, who was not next", len(order), a.conv)
			}
			delete(expected, a.conv)
		}
		served, order = append(served[len(next):], got...), append(order, next...)
	}
	for n, e := range order {
		if n > 0 && before(&e, &order[n-1]) {
			t.Fatalf("number %d of those who waited came after number %d", n+1, n)
		}
		if at := places[e.Conv]; !near(at, n+1) {
			t.Errorf("number %d of those who waited was told that it is number %d", n+1, at)
		}
	}
	if q := sue.queue(); q.Total != 0 {
		t.Errorf("%d wait in the end", q.Total)
	}
}

// nthOpen opens the conversation k of a visitor.
func nthOpen(k int) *frame.Open {
	return &frame.Open{Ref: uint64(k + 1), Key: frame.ID{1, byte(k >> 8), byte(k)}, Group: []byte(devGroup)}
}

func conversationOf(visitor int, key frame.ID) frame.ID {
	return core.ConversationID(fmt.Sprint("v", visitor), key)
}

// places waits until everybody was told its place and nobody is any more, and returns what each was told last.
func (c *crowd) places(waiting int) map[frame.ID]int {
	c.t.Helper()
	const still = 4 * time.Second // the queue is looked at each second, all of it within three
	places := map[frame.ID]int{}
	for end, last := time.Now().Add(patience), time.Now(); len(places) < waiting || time.Since(last) < still; {
		select {
		case p := <-c.told:
			places[p.Conv], last = int(p.Place), time.Now()
		case <-time.After(still):
			if time.Now().After(end) {
				c.t.Fatalf("%d of %d who wait heard of it", len(places), waiting)
			}
		}
	}
	return places
}

// near tells whether a place that was told is close enough to the present one, so that another notice was not due.
func near(told, is int) bool { return max(told-is, is-told) <= told/16 }

// queue returns the beginning of the queue.
func (w *wire) queue() (q frame.Queue) {
	w.t.Helper()
	w.frames((&frame.Watch{Ref: 20, Group: []byte(devGroup), Limit: 200}).Append(nil))
	if err := q.Parse(bytes.Clone(w.expect(frame.TypeQueue))); err != nil {
		w.t.Fatal(err)
	}
	w.frames((&frame.Watch{Ref: 21, Group: []byte(devGroup)}).Append(nil))
	w.expect(frame.TypeAck)
	return q
}

// entries reads the first ones of a queue.
func entries(t *testing.T, q frame.Queue, most int) (list []frame.QueueChange) {
	t.Helper()
	for rest := q.Entries; len(rest) > 0 && len(list) < most; {
		var e frame.QueueChange
		_, f, after, err := frame.Next(rest)
		if err == nil {
			err = e.Parse(f)
		}
		if err != nil {
			t.Fatal(err)
		}
		list, rest = append(list, e), after
	}
	return list
}

// before is the order of a queue in which nobody was put to the front.
func before(a, b *frame.QueueChange) bool {
	return cmp.Or(cmp.Compare(a.RankMS, b.RankMS), bytes.Compare(a.Conv[:], b.Conv[:])) < 0
}

// TestAssignmentLatency opens conversations one after the other, at random times, while agents are free, and measures how long it takes until the visitor is told who has
// it: the open is durable then, and so is the assignment.
func TestAssignmentLatency(t *testing.T) {
	i := newInstallation(t)
	i.binary = shippedBinary(t)
	i.start()
	c := newCrowd(t, i)
	var took []time.Duration
	for n := range *assignCount {
		time.Sleep(time.Duration(rand.ExpFloat64() * float64(*assignPause)))
		open := frame.Open{Key: frame.ID{2, byte(n >> 16), byte(n >> 8), byte(n)}, Group: []byte(devGroup)}
		v := n % crowdVisitors
		conv := conversationOf(v, open.Key)
		c.owner[conv] = c.visitors[v]
		begin := time.Now()
		c.visitors[v].frames(open.Append(nil))
		a := c.next(1)
		if a[0].conv != conv {
			t.Fatalf("%v is assigned, which is another one", a[0].conv)
		}
		took = append(took, a[0].at.Sub(begin))
		c.close(a)
	}
	slices.Sort(took)
	at := func(share float64) time.Duration { return took[int(share*float64(len(took)-1))] }
	t.Logf("%d conversations, from open to assigned: p50 %v, p90 %v, p99 %v, p99.9 %v, longest %v", len(took), at(.5), at(.9), at(.99), at(.999), at(1))
}
