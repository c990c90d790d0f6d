package core

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/switchyard-im/switchyard/dispatch/desk"
	"github.com/switchyard-im/switchyard/frame"
)

// TestRandom runs the machine with random clients, restarts and failing commits against what every client may rely on: a message that was
// acked is in the store under that sequence, once; a receiver gets an unbroken row of sequences; retries get the first answer.
func TestRandom(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	for round := range 10 {
		r := rand.New(rand.NewPCG(seed, uint64(round)))
		newWorld(t, r).run(1000)
		if t.Failed() {
			t.Fatalf("seed %d round %d", seed, round)
		}
	}
}

// TestRandomNotes does the same with the notes of a conversation, which meanwhile goes on itself: is written to, moved, evicted, and cannot be loaded
// now and then.
func TestRandomNotes(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	for round := range 5 {
		w := newWorld(t, rand.New(rand.NewPCG(seed, uint64(round))))
		w.notes, w.conv, w.names = true, w.conv.Notes(), []string{"a", "s"}
		w.run(1000)
		if t.Failed() {
			t.Fatalf("seed %d round %d", seed, round)
		}
		if n := len(w.store.conv(w.conv).messages); n < 100 {
			t.Fatalf("only %d notes were stored", n)
		}
	}
}

// world is one conversation with a visitor and an agent, or the notes of one, some devices each, and a store that fails now and then.
type world struct {
	*harness
	r       *rand.Rand
	conv    frame.ID
	names   []string // whose devices there are
	notes   bool     // conv is notes, and things happen to the conversation and to the loads
	devices map[frame.ConnID]*device
	pending map[frame.ID]*outgoing // by message id
	ids     int
	depth   int // of turns within turns
}

// device is a client: it checks what it receives as an SDK would.
type device struct {
	conn frame.ConnID
	who  *Identity
	last uint64      // the last sequence it has, from messages and its own acks
	live bool        // got its answer to resume
	sent []*outgoing // what it sent first, in order
	open []*outgoing // what went out on this connection and was not acked on it, in order
}

// outgoing is a message that a device sent, perhaps several times.
type outgoing struct {
	id   frame.ID
	who  *Identity
	from *device // who sent it first
	base uint64
	seq  uint64 // once acked
}

func newWorld(t *testing.T, r *rand.Rand) *world {
	w := &world{harness: newHarness(t, Config{ResumeMax: 100_000, LookbackMax: 100_000}), r: r, devices: map[frame.ConnID]*device{}, pending: map[frame.ID]*outgoing{}, names: []string{"v", "a"}}
	w.users["v"] = &Identity{User: "v", Role: frame.RoleVisitor}
	w.users["a"] = &Identity{User: "a", Role: frame.RoleAgent, Profile: &desk.Profile{Groups: []string{"g", "h"}}}
	w.users["s"] = &Identity{User: "s", Role: frame.RoleSupervisor, Profile: &desk.Profile{Groups: []string{"g", "h"}}}
	w.step([]string{"open 1 v ref=1 key=C group=g"})
	w.step([]string{"assign C a"})
	w.conv = w.convs["C"]
	w.m.Gone(w.conv, 1)
	return w
}

func (w *world) run(steps int) {
	for range steps {
		w.now += int64(w.r.IntN(20))
		if w.r.IntN(200) == 0 {
			w.m = New(w.m.cfg) // restart: every connection is gone
			w.devices = map[frame.ConnID]*device{}
		}
		w.fail = w.r.IntN(25) == 0
		w.lost = w.fail && w.r.IntN(2) == 0
		w.turn(func() {
			for range 1 + w.r.IntN(4) {
				w.act()
			}
			if w.notes && w.r.IntN(4) == 0 {
				w.bother()
			}
		})
		if w.t.Failed() {
			return
		}
	}
	w.finish()
}

// turn is one batch and what follows from it. Unlike the harness's it delivers what the machine sends to the devices, and lets other
// events come between a read and its result.
func (w *world) turn(events func()) {
	w.depth++
	defer func() { w.depth-- }()
	var e Effects
	w.m.Begin(w.now, true, &e)
	events()
	w.m.End()
	if w.r.IntN(2) == 0 {
		w.m.Trim(0, 0)
	}
	w.check()
	failed := w.fail
	if !failed || w.lost {
		w.store.write(e.Writes)
	}
	w.fail, w.lost = false, false
	if failed {
		w.turn(func() {
			for _, a := range slices.Backward(e.Answers) { // told unavailable: who wanted to attach begins anew
				switch a.Kind {
				case AnswerAttached:
					delete(w.devices, a.Conn)
					w.m.Gone(a.Conv, a.Conn)
				case AnswerAccepted:
					w.m.Refused(a.Conv, a.Conn, a.ID)
				}
			}
			for _, wr := range e.Writes {
				released := wr.First - 1
				if wr.Op == PutMember {
					continue
				}
				if wr.Op == PutConversation {
					released = ^uint64(0)
				}
				w.m.Invalidate(wr.Conv, released)
			}
		})
	} else {
		for _, t := range e.Targets {
			w.receive(t.Conn, e.Buf[t.Off:t.Off+t.Len])
		}
	}
	var ignored strings.Builder
	for _, j := range e.Jobs {
		if w.depth < 4 && w.r.IntN(3) == 0 {
			w.turn(w.act)
		}
		w.turn(func() {
			if w.notes && j.Op == JobLoad && w.r.IntN(8) == 0 {
				w.m.Loaded(j.Conv, nil, nil, false, errors.New("the disk is away"))
				return
			}
			w.job(&ignored, j)
		})
	}
	if !failed {
		for _, conv := range e.Left {
			w.turn(func() { w.m.Dismiss(conv) })
		}
	}
}

// bother does something to the conversation that the notes are about, or lets what is not used leave memory.
func (w *world) bother() {
	host := w.conv.Host()
	visitor := Origin{1, w.users["v"]}
	switch w.r.IntN(4) {
	case 0:
		w.m.Frame(visitor, frame.TypeSend, (&frame.Send{Ref: 1, Conv: host, Level: 1, Body: text("x")}).Append(nil), 1)
	case 1:
		w.m.Decide(host, Decision{Kind: desk.Queue, Group: []string{"g", "h"}[w.r.IntN(2)]})
	case 2:
		w.m.Decide(host, Decision{Kind: desk.Assign, Agent: "a", Group: []string{"g", "h"}[w.r.IntN(2)]})
	default:
		w.now += 61_000
		w.m.now = w.now
		for range 5 {
			w.m.Tick()
		}
	}
}

// act is one random thing that a client does.
func (w *world) act() {
	switch n := w.r.IntN(10); {
	case n < 2:
		w.connect()
	case n < 3:
		w.disconnect()
	case n < 7:
		w.sendNew()
	case n < 9:
		w.retry()
	default:
		w.mark()
	}
}

func (w *world) device() *device {
	live := []*device{}
	for _, d := range w.devices {
		if d.live {
			live = append(live, d)
		}
	}
	if len(live) == 0 {
		return nil
	}
	slices.SortFunc(live, func(a, b *device) int { return int(a.conn) - int(b.conn) })
	return live[w.r.IntN(len(live))]
}

func (w *world) connect() {
	if len(w.devices) > 6 {
		return
	}
	w.ids++
	d := &device{conn: frame.ConnID(100 + w.ids), who: w.users[w.names[w.r.IntN(2)]]}
	if n := len(w.store.conv(w.conv).messages); n > 0 {
		d.last = uint64(n - w.r.IntN(min(n, 30)+1))
	}
	w.devices[d.conn] = d
	w.m.Frame(Origin{d.conn, d.who}, frame.TypeResume, (&frame.Resume{Ref: 1, Conv: w.conv, After: d.last}).Append(nil), 1)
}

func (w *world) disconnect() {
	if d := w.device(); d != nil {
		delete(w.devices, d.conn)
		w.m.Gone(w.conv, d.conn)
	}
}

func (w *world) sendNew() {
	if d := w.device(); d != nil {
		w.ids++
		o := &outgoing{who: d.who, from: d, base: d.last}
		d.sent = append(d.sent, o)
		copy(o.id[:], fmt.Sprintf("m%d", w.ids))
		w.pending[o.id] = o
		w.transmit(d, o)
	}
}

// retry sends messages again with the id and base of the first time: all that a device has no ack for, in order; or one more, acked or not,
// whose device is gone.
func (w *world) retry() {
	d := w.device()
	if d == nil {
		return
	}
	if w.r.IntN(2) == 0 {
		for _, o := range slices.Clone(d.open) {
			w.transmit(d, o)
		}
		return
	}
	ids := []*outgoing{}
	for _, o := range w.pending {
		if o.who == d.who && w.devices[o.from.conn] != o.from && !slices.Contains(d.open, o) {
			ids = append(ids, o)
		}
	}
	if len(ids) == 0 {
		return
	}
	slices.SortFunc(ids, func(a, b *outgoing) int { return strings.Compare(string(a.id[:]), string(b.id[:])) })
	w.transmit(d, ids[w.r.IntN(len(ids))])
}

func (w *world) transmit(d *device, o *outgoing) {
	if !slices.Contains(d.open, o) {
		d.open = append(d.open, o)
	}
	ref := uint64(0)
	fmt.Sscanf(strings.TrimRight(string(o.id[:]), "\x00"), "m%d", &ref)
	s := frame.Send{Ref: ref, Conv: w.conv, Level: 2, ID: o.id, Base: o.base, Body: text("x")}
	w.m.Frame(Origin{d.conn, d.who}, frame.TypeSend, s.Append(nil), 1)
}

func (w *world) mark() {
	if d := w.device(); d != nil && d.last > 0 {
		w.m.Frame(Origin{d.conn, d.who}, frame.TypeDelivered, (&frame.Mark{Type: frame.TypeDelivered, Conv: w.conv, Seq: d.last}).Append(nil), 1)
	}
}

// receive is a device that gets frames.
func (w *world) receive(conn frame.ConnID, b []byte) {
	d := w.devices[conn]
	for d != nil && len(b) > 0 {
		typ, f, rest, err := frame.Next(b)
		if err != nil {
			w.t.Fatal(err)
		}
		b = rest
		switch typ {
		case frame.TypeResumed:
			w.resumed(d, f)
		case frame.TypeMessage:
			w.message(d, f)
		case frame.TypeAck:
			w.acked(d, f)
		case frame.TypeError:
			var e frame.Error
			if err := e.Parse(f); err != nil || e.Code != frame.ErrorUnavailable {
				w.t.Errorf("device %d got %+v", conn, e)
			}
			if e.Ref == 1 { // its resume could not be done
				delete(w.devices, conn)
				w.m.Gone(w.conv, conn)
				return
			}
		}
	}
}

func (w *world) resumed(d *device, f []byte) {
	var r frame.Resumed
	if err := r.Parse(f); err != nil {
		w.t.Fatal(err)
	}
	if !r.Recovered || r.After != d.last || r.Count != r.Head-r.After {
		w.t.Errorf("device %d at %d got %+v", d.conn, d.last, r)
	}
	d.live = true
}

func (w *world) message(d *device, f []byte) {
	var msg frame.Message
	if err := msg.Parse(f); err != nil {
		w.t.Fatal(err)
	}
	if !d.live || msg.Seq != d.last+1 || msg.Prev != d.last {
		// After a failed commit a live device may get again what it had; it drops that by sequence. A gap is an error.
		if msg.Seq > d.last {
			w.t.Errorf("device %d (live %t) at %d got message %d after %d", d.conn, d.live, d.last, msg.Seq, msg.Prev)
		}
		return
	}
	w.stored(msg.Seq, msg.ID)
	d.last = msg.Seq
}

func (w *world) acked(d *device, f []byte) {
	var a frame.Ack
	if err := a.Parse(f); err != nil {
		w.t.Fatal(err)
	}
	var id frame.ID
	copy(id[:], fmt.Sprintf("m%d", a.Ref))
	o := w.pending[id]
	if o.seq != 0 && o.seq != a.Seq {
		w.t.Errorf("message %d was acked as %d and then as %d", a.Ref, o.seq, a.Seq)
	}
	if o.seq == 0 && o.from == d {
		for _, before := range d.sent[:slices.Index(d.sent, o)] {
			// It may be stored and not acked: its commit, or the one with the answer to its retry, looked as if it had failed.
			if seq := w.sequence(before.id); seq == 0 || seq > a.Seq {
				w.t.Errorf("device %d sent %s before %s, but it is %d and not before %d", d.conn, before.id, o.id, seq, a.Seq)
			}
		}
	}
	o.seq = a.Seq
	d.open = slices.DeleteFunc(d.open, func(other *outgoing) bool { return other == o })
	w.stored(a.Seq, id)
	if a.Seq == d.last+1 {
		d.last = a.Seq // its own message
	}
}

// sequence is where the store has a message; 0: nowhere.
func (w *world) sequence(id frame.ID) uint64 {
	for _, m := range w.store.conv(w.conv).messages {
		if m.ID == id {
			return m.Seq
		}
	}
	return 0
}

// stored checks that the store has the message under that sequence: nothing is released before it is durable.
func (w *world) stored(seq uint64, id frame.ID) {
	messages := w.store.conv(w.conv).messages
	if seq > uint64(len(messages)) || messages[seq-1].ID != id {
		w.t.Errorf("message %s was released as %d, which the store does not have", id, seq)
	}
}

// finish checks the whole store: every id at most once, every acked one under its sequence.
func (w *world) finish() {
	seen := map[frame.ID]uint64{}
	for _, m := range w.store.conv(w.conv).messages {
		if m.Kind == frame.KindEvent {
			continue
		}
		if before := seen[m.ID]; before != 0 {
			w.t.Errorf("message %s is stored as %d and %d", m.ID, before, m.Seq)
		}
		seen[m.ID] = m.Seq
	}
	for id, o := range w.pending {
		if o.seq != 0 && seen[id] != o.seq {
			w.t.Errorf("message %s was acked as %d and is stored as %d", id, o.seq, seen[id])
		}
	}
}
