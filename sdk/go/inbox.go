package switchyard

import "slices"

// inbox is what a conversation received and the application did not read yet, at most size messages and one gap at the end. It
// is guarded by the client's mutex.
type inbox struct {
	size  int
	items []item
	wake  chan struct{} // holds one token while a reader may find something
}

// item is a message, or a gap before the next one.
type item struct {
	message Message
	gap     *GapError
}

func newInbox(size int) inbox { return inbox{size: size, wake: make(chan struct{}, 1)} }

func (b *inbox) full() bool     { return len(b.items) >= b.size }
func (b *inbox) halfFree() bool { return len(b.items) <= b.size/2 }

func (b *inbox) push(m Message) {
	b.items = append(b.items, item{message: m})
	b.notify()
}

// pushGap widens a gap that is the last item already, so gaps do not add up.
func (b *inbox) pushGap(gap GapError) {
	if n := len(b.items); n > 0 && b.items[n-1].gap != nil {
		gap.After = b.items[n-1].gap.After
		b.items = b.items[:n-1]
	}
	b.items = append(b.items, item{gap: &gap})
	b.notify()
}

func (b *inbox) pop() (item, bool) {
	if len(b.items) == 0 {
		return item{}, false
	}
	first := b.items[0]
	b.items[0] = item{}
	b.items = b.items[1:]
	if len(b.items) > 0 {
		b.notify()
	}
	return first, true
}

func (b *inbox) notify() {
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

// track follows the sequences of one conversation on one stream. It is pure. Own messages are not delivered to the connection
// that sent them; their acks take their places.
//
// Invariants: 1. everything up to last was received, or sent by us; 2. own is ascending and beyond last; 3. head >= last and head >=
// each of own.
type track struct {
	last uint64   // the last sequence without a gap before it
	own  []uint64 // sequences of own messages after a gap, at most maxOwn
	head uint64   // the highest sequence ever seen
}

// maxOwn bounds track.own. It fills only if an application sends without ever reading; beyond it the oldest are forgotten, and come back as
// messages from the user itself.
const maxOwn = 4096

// verdict is what to do with a message.
type verdict int

const (
	fresh     verdict = iota // the next one: deliver it
	duplicate                // known already
	ours                     // the next one, and sent by us
	gap                      // something is missing before it
)

// message judges a message by its sequence and that of the message before it, and moves on if it is the next one.
func (t *track) message(seq, prev uint64) verdict {
	t.head = max(t.head, seq)
	switch {
	case seq <= t.last:
		return duplicate
	case prev != t.last:
		return gap
	}
	t.last = seq
	if i, found := slices.BinarySearch(t.own, seq); found {
		t.own = t.own[i+1:]
		t.advance()
		return ours
	}
	t.advance()
	return fresh
}

// ack takes the sequence of an own message. An answer to a retry may be about an old one.
func (t *track) ack(seq uint64) {
	t.head = max(t.head, seq)
	i, found := slices.BinarySearch(t.own, seq)
	if seq <= t.last || found {
		return
	}
	t.own = slices.Insert(t.own, i, seq)
	if len(t.own) > maxOwn {
		t.own = t.own[1:]
	}
	t.advance()
}

// advance passes own messages that come right after last. Sequences of one epoch have no holes; the first of a new epoch is
// linked by the prev of a later message, or by a resume.
func (t *track) advance() {
	for len(t.own) > 0 && t.own[0] <= t.last+1 {
		t.last = max(t.last, t.own[0])
		t.own = t.own[1:]
	}
}

// jump goes on after a sequence, whatever was missed.
func (t *track) jump(seq uint64) {
	t.last, t.head = seq, seq
	for len(t.own) > 0 && t.own[0] <= seq {
		t.own = t.own[1:]
	}
	if n := len(t.own); n > 0 {
		t.head = t.own[n-1]
	}
	t.advance()
}

// behind tells whether an own message waits for something that should have come before it.
func (t *track) behind() bool { return len(t.own) > 0 }
