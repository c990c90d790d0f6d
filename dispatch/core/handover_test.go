package core

import (
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/switchyard-im/switchyard/frame"
)

// TestBarriersOnTheWay lets conversations leave memory all the time while a client that is not attached sends, with refusals by its loop, by the machine
// and by commits that fail. Loop and runner take turns at random, as they would on two processors. What is stored keeps the client's order.
func TestBarriersOnTheWay(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	handed := 0
	for round := range 300 {
		l := newLine(t, rand.New(rand.NewPCG(seed, uint64(round))))
		for range 1500 {
			l.turn()
		}
		l.calmDown()
		handed += l.handed
		if t.Failed() {
			t.Fatalf("seed %d round %d", seed, round)
		}
	}
	if t.Logf("%d barriers were handed over", handed); handed < 300 {
		t.Error("too few barriers were handed over to test anything")
	}
}

// line is a client's connection, its loop and the runner of its conversation. What is between two of them is a queue.
type line struct {
	*harness
	r      *rand.Rand
	conv   frame.ID
	who    *Identity
	handed int

	network []send          // from the client to its loop
	refused Refusals        // the loop's
	tasks   []func()        // for the loop
	ring    []send          // from the loop to the runner
	inbox   []func()        // for the runner
	taken   []func()        // what the runner has of it
	begun   bool            // the runner has taken it
	batches []*Effects      // committed, and not told yet
	waiting map[uint64]bool // sent and not answered
	again   []uint64        // to be sent again
	givenUp map[uint64]bool // not to be sent again, though they were not acked
	sent    uint64
	calm    bool // nothing is new any more, and nothing goes wrong
	alone   bool // the client has one under way at a time
}

// send is a message on its way, by its number.
type send struct {
	n  uint64
	id frame.ID
}

func newLine(t *testing.T, r *rand.Rand) *line {
	h, conv := begun(t)
	h.m.cfg.EvictMS = 20
	h.batched(func() { h.m.Gone(conv, 1) })
	return &line{harness: h, r: r, conv: conv, who: h.users["v"], waiting: map[uint64]bool{}, givenUp: map[uint64]bool{}}
}

func idOf(n uint64) (id frame.ID) {
	binary.BigEndian.PutUint64(id[:], n)
	return id
}

// turn lets one of the three do one thing.
func (l *line) turn() {
	switch l.r.IntN(8) {
	case 0, 1:
		l.client()
	case 2, 3:
		l.loop()
	case 4:
		if !l.begun {
			l.taken, l.inbox, l.begun = l.inbox, nil, true
		}
	case 5, 6:
		l.runner()
	default:
		if len(l.batches) > 0 {
			l.told(l.batches[0])
			l.batches = l.batches[1:]
		}
	}
}

// calmDown lets all settle. What the client does not give up is acked in the end; if it gave up more than can be known, when it sends one alone.
func (l *line) calmDown() {
	l.calm, l.down = true, false
	cut := false
	for turns := 0; len(l.waiting)+len(l.again) > 0; turns++ {
		cut = cut || l.cut()
		if l.alone = turns > 5000; turns == 10_000 || l.alone && !cut {
			l.t.Errorf("the client sends %v again and again, %d are under way", l.again, len(l.waiting))
			return
		}
		l.turn()
	}
}

// cut tells whether more was refused in one of the places than can be known.
func (l *line) cut() bool {
	c := l.m.convs[l.conv]
	return l.refused.cut || c != nil && c.trouble != nil && slices.ContainsFunc(c.trouble.barriers, func(b barrier) bool { return b.refused.cut })
}

// goesWrong tells whether something goes wrong that does so once in n times.
func (l *line) goesWrong(n int) bool { return !l.calm && l.r.IntN(n) == 0 }

// client sends again, in order, when all is answered: all at once, with what is new right behind, or only the first few. Now and then it gives some
// up before.
func (l *line) client() {
	if (l.alone || len(l.again) > 0) && len(l.waiting) > 0 || len(l.waiting) > 8 {
		return
	}
	slices.Sort(l.again)
	if l.goesWrong(4) {
		l.giveUp()
	}
	if n := len(l.again); n > 1 && (l.alone || l.r.IntN(4) == 0) {
		if l.alone {
			n = 2
		}
		l.transmit(1 + l.r.IntN(n-1))
		return
	}
	for !l.calm && l.r.IntN(2) == 0 {
		l.sent++
		l.again = append(l.again, l.sent)
	}
	l.transmit(len(l.again))
}

// transmit sends the first n of what is to be sent.
func (l *line) transmit(n int) {
	for _, n := range l.again[:n] {
		l.waiting[n] = true
		l.network = append(l.network, send{n, idOf(n)})
	}
	l.again = slices.Clone(l.again[n:])
}

// giveUp makes the client forget the first few of what was refused, all of it, or any.
func (l *line) giveUp() {
	first, any := l.r.IntN(len(l.again)+1), l.r.IntN(3) == 0
	keep := l.again[:0]
	for i, n := range l.again {
		if any && l.r.IntN(2) == 0 || !any && i < first {
			l.givenUp[n] = true
		} else {
			keep = append(keep, n)
		}
	}
	l.again = keep
}

// answered tells the client. A message that was accepted has all before it in the store but those that were given up, in order.
func (l *line) answered(n uint64, seq uint64) {
	delete(l.waiting, n)
	if seq == 0 {
		l.again = append(l.again, n)
		return
	}
	last := uint64(0)
	for _, m := range l.store.conv(l.conv).messages {
		if m.ID.IsZero() {
			continue // an event
		}
		number := binary.BigEndian.Uint64(m.ID[:])
		if number <= last {
			l.t.Errorf("message %d is stored after message %d", number, last)
		}
		for between := last + 1; between < number; between++ {
			if !l.givenUp[between] {
				l.t.Errorf("message %d is stored after message %d, without message %d", number, last, between)
			}
		}
		last = number
	}
	if last < n {
		l.t.Errorf("message %d was acked, and %d is the last in the store", n, last)
	}
}

// loop does what was posted, or reads a message; it is a model of the gate and its session.
func (l *line) loop() {
	if len(l.tasks) > 0 && (len(l.network) == 0 || l.r.IntN(2) == 0) {
		l.tasks[0]()
		l.tasks = l.tasks[1:]
		return
	}
	if len(l.network) == 0 {
		return
	}
	s := l.network[0]
	l.network = l.network[1:]
	crowded, turn := l.goesWrong(20), !l.refused.Any() || l.refused.Awaits(s.id)
	if !crowded && turn {
		l.refused = Refusals{}
	}
	if crowded || !turn || l.goesWrong(20) { // a full ring
		l.refused.Refuse(s.id, refusalsMax)
		l.answered(s.n, 0)
		return
	}
	l.ring = append(l.ring, s)
}

func (l *line) takeOver(j Job) {
	l.refused = j.Refused.Then(l.refused, refusalsMax)
}

// runner makes a batch of what it has taken and of what is in the ring now.
func (l *line) runner() {
	if !l.begun {
		return
	}
	l.now += int64(l.r.IntN(20))
	if l.goesWrong(10) {
		l.down = !l.down
	}
	e := l.batched(func() {
		for _, s := range l.ring {
			f := frame.Send{Ref: s.n, Conv: l.conv, Level: 2, ID: s.id, Body: text("x")}
			l.m.Frame(Origin{9, l.who}, frame.TypeSend, f.Append(nil), 1)
		}
		for _, f := range l.taken {
			f()
		}
		if l.r.IntN(3) == 0 {
			l.m.Tick()
		}
	})
	l.ring, l.taken, l.begun = nil, nil, false
	if len(e.Writes) > 0 && l.goesWrong(10) {
		if l.r.IntN(3) == 0 {
			l.store.write(e.Writes) // and yet it looks as if it had failed
		}
		l.failed(e)
		return
	}
	l.store.write(e.Writes)
	l.batches = append(l.batches, e)
}

// failed is a commit that fails, when all before it are told.
func (l *line) failed(e *Effects) {
	for _, before := range l.batches {
		l.told(before)
	}
	l.batches = nil
	l.jobs(e)
	for _, i := range e.Certain {
		t := e.Targets[i]
		l.frames(e.Buf[t.Off : t.Off+t.Len])
	}
	for _, a := range e.Answers {
		if a.Conn == 9 {
			l.answered(a.Ref, 0)
		}
	}
	l.batches = append(l.batches, l.batched(func() {
		for _, a := range slices.Backward(e.Answers) {
			if a.Kind == AnswerAccepted {
				l.m.Refused(a.Conv, a.Conn, a.ID)
			}
		}
		for _, w := range e.Writes {
			switch w.Op {
			case PutMessages:
				l.m.Invalidate(w.Conv, w.First-1)
			case PutConversation:
				l.m.Invalidate(w.Conv, ^uint64(0))
			}
		}
	}))
}

// told is what a batch causes when it is committed.
func (l *line) told(e *Effects) {
	l.jobs(e)
	for _, t := range e.Targets {
		if t.Conn == 9 {
			l.frames(e.Buf[t.Off : t.Off+t.Len])
		}
	}
}

func (l *line) frames(b []byte) {
	for len(b) > 0 {
		typ, f, rest, err := frame.Next(b)
		if err != nil {
			l.t.Fatal(err)
		}
		var a frame.Ack
		var no frame.Error
		switch {
		case typ == frame.TypeAck && a.Parse(f) == nil:
			l.answered(a.Ref, a.Seq)
		case typ == frame.TypeError && no.Parse(f) == nil:
			l.answered(no.Ref, 0)
		}
		b = rest
	}
}

func (l *line) jobs(e *Effects) {
	for _, j := range e.Jobs {
		switch {
		case j.Op == JobHandOver:
			l.handed++
			l.tasks = append(l.tasks, func() { l.takeOver(j) }, func() {
				l.inbox = append(l.inbox, func() { l.m.HandedOver(j.Conv, j.Conn, j.Ref) })
			})
		case j.Op == JobLoad && l.goesWrong(5):
			l.inbox = append(l.inbox, func() { l.m.Loaded(j.Conv, nil, nil, false, errors.New("no")) })
		default:
			l.inbox = append(l.inbox, func() { l.job(new(strings.Builder), j) })
		}
	}
}
