package oracle

// state is what is known of one message.
type state uint8

const (
	inAir     state = 1 << iota // handed to the present connection and not answered there
	sentOnce                    // handed to some connection
	acked                       // the sender has its ack
	delivered                   // the receiver has it
	replayed                    // came back to its sender in a resume
	givenUp                     // its sender may send no more; whether it was stored is not known
)

// Message is one message under way.
type Message struct {
	Due   int64  // when it was to be sent
	Sent  int64  // when it was sent last; the scenario's own
	Base  uint64 // the last sequence its sender knew when it first sent it
	seq   uint64 // 0 while nothing named it
	state state
}

// Resent tells whether the message went to a connection before.
func (m *Message) Resent() bool { return m.state&sentOnce != 0 }

// flow is one direction of a pair: a ring of the messages from the oldest that is not both acked and delivered to the newest.
type flow struct {
	first   uint64 // index of the oldest in the ring
	next    uint64 // index of the next message
	highest uint64 // the highest index delivered, plus one
	cursor  uint64 // nothing below waits to be handed to a connection
	unacked int
	past    *past     // of those before first; nil: they are forgotten
	ring    []Message // its length is a power of two; grows up to maxUnsettled
}

// maxUnsettled bounds the messages of one direction that are not settled; nothing more is sent until some are. Both directions together
// stay below what a server replays on one resume (5,000 by default).
const maxUnsettled = 2048

func (f *flow) at(index uint64) *Message { return &f.ring[index&uint64(len(f.ring)-1)] }

func (f *flow) holds(index uint64) bool { return index >= f.first && index < f.next }

func (f *flow) room() bool { return f.next-f.first < maxUnsettled }

func (f *flow) add(m Message) uint64 {
	if f.next-f.first == uint64(len(f.ring)) {
		f.grow()
	}
	index := f.next
	f.next++
	f.unacked++
	*f.at(index) = m
	return index
}

func (f *flow) grow() {
	old := *f
	f.ring = make([]Message, max(4, 2*len(old.ring)))
	for i := f.first; i < f.next; i++ {
		*f.at(i) = *old.at(i)
	}
}

// retire forgets the settled messages at the front.
func (f *flow) retire() {
	for f.first < f.next && f.at(f.first).state&(acked|delivered) == acked|delivered {
		if f.past != nil {
			f.past.add(f.at(f.first).seq)
		}
		f.first++
	}
}

// disconnected makes everything that was not answered wait to be sent again.
func (f *flow) disconnected() {
	for i := f.first; i < f.next; i++ {
		f.at(i).state &^= inAir
	}
	f.cursor = f.first
}

// pending is the oldest message that waits to be handed to a connection, or nil. Base is the last sequence that its sender knows.
func (f *flow) pending(base uint64) (index uint64, m *Message) {
	for i := max(f.cursor, f.first); i < f.next; i++ {
		m := f.at(i)
		if m.state&(inAir|acked|givenUp) != 0 {
			continue
		}
		if m.state&sentOnce == 0 {
			m.Base = base
		}
		f.cursor = i
		return i, m
	}
	f.cursor = f.next
	return 0, nil
}

// underWay tells whether messages are on the present connection and not answered.
func (f *flow) underWay() bool {
	for i := f.first; i < f.next; i++ {
		if f.at(i).state&inAir != 0 {
			return true
		}
	}
	return false
}

// handedOver notes that a message was written.
func (f *flow) handedOver(index uint64) {
	f.at(index).state |= inAir | sentOnce
	f.cursor = index + 1
}
