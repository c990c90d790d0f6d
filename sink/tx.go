package sink

import (
	"encoding/binary"
	"fmt"
	"time"

	"github.com/switchyard-im/switchyard/frame"
)

// Tx collects what one batch of a shard changes; all of it or none survives a crash. It is owned by one goroutine from Begin to
// Commit and must not be touched after Commit. Its methods copy their arguments.
type Tx struct {
	store      *Store
	generation uint64

	// ops holds the changes in the form in which Pebble keeps a batch: kind, uvarint length and bytes of the key, and for a set
	// also of the value. So putting transactions together is one copy each. Lent by the store, until the committer has copied it.
	ops      []byte
	count    int // changes in ops
	messages int
	frames   int // bytes of the Message frames in ops

	notices []noticeMark // that need numbers

	// upkeep is set for what the store changes by itself. It goes on while there is too little space or the outbox is full, because it is what
	// makes room; and it stands on nothing that a shard believes, so a generation of 0 is good in any.
	upkeep bool

	done     Completion
	commitAt time.Time
	err      error // how it ended, set by the committer or the completer
}

// Completion is told how a transaction ended: nil once it is durable, ErrUnavailable if it was refused or its fate is not known.
// It is called on the store's completion goroutine and must not block for long: the next commit's acks wait behind it.
type Completion = interface{ Committed(err error) }

// The kinds of a change, as Pebble encodes them in a batch.
const (
	opDelete      = 0
	opSet         = 1
	opDeleteRange = 15
)

// Messages adds the messages first..last of conv, which follow what is stored. Frames are their Message frames in a row, one for
// each sequence from first to last.
func (t *Tx) Messages(conv frame.ID, first, last uint64, frames []byte) {
	if first > last || first == 0 {
		panic(fmt.Sprintf("BUG: sink: messages %d to %d", first, last))
	}
	var head [binary.MaxVarintLen64]byte
	n := binary.PutUvarint(head[:], last-first)

	t.ops = append(t.ops, opSet, byte(messagesKeyLen))
	t.ops = appendMessagesKey(t.ops, conv, last)
	t.ops = binary.AppendUvarint(t.ops, uint64(n+len(frames)))
	t.ops = append(t.ops, head[:n]...)
	t.ops = append(t.ops, frames...)
	t.count++
	t.messages += int(last - first + 1)
	t.frames += len(frames)
}

// Conversation puts the state record of conv; open keeps it in the index that OpenConversations reads, or takes it out.
func (t *Tx) Conversation(conv frame.ID, state []byte, open bool) {
	t.ops = append(t.ops, opSet, byte(convKeyLen))
	t.ops = appendConvKey(t.ops, keyState, conv)
	t.ops = binary.AppendUvarint(t.ops, uint64(len(state)))
	t.ops = append(t.ops, state...)
	t.count++

	t.mark(open, convKeyLen)
	t.ops = appendConvKey(t.ops, keyOpen, conv)
	t.finishMark(open)
}

// Member adds the conversation to the user's list or removes it. A user longer than 65,535 bytes is a bug of the caller.
func (t *Tx) Member(user string, conv frame.ID, present bool) {
	if len(user) > maxUserLen {
		panic(fmt.Sprintf("BUG: sink: a user of %d bytes", len(user)))
	}
	t.mark(present, 1+2+len(user)+len(conv))
	t.ops = appendMemberPrefix(t.ops, user)
	t.ops = append(t.ops, conv[:]...)
	t.finishMark(present)
}

// Memo puts a small record under a key of the caller's, at most 512 bytes long and the value 1 KiB; a nil value takes it away. Longer ones are a
// bug of the caller.
func (t *Tx) Memo(key string, value []byte) {
	if len(key) > maxMemoKey || len(value) > maxMemoValue {
		panic(fmt.Sprintf("BUG: sink: a memo of %d bytes under a key of %d", len(value), len(key)))
	}
	t.mark(value != nil, 1+len(key))
	t.ops = append(t.ops, keyMemo)
	t.ops = append(t.ops, key...)
	if value != nil {
		t.ops = binary.AppendUvarint(t.ops, uint64(len(value)))
		t.ops = append(t.ops, value...)
	}
}

// Escalation puts what is known of the messages of conv that the user has not acked; nil removes it. The user may be empty. One longer than 65,535 bytes
// is a bug of the caller.
func (t *Tx) Escalation(conv frame.ID, user string, record []byte) {
	if len(user) > maxUserLen {
		panic(fmt.Sprintf("BUG: sink: a user of %d bytes", len(user)))
	}
	key := appendEscalationKey(nil, conv, user)
	if record == nil {
		t.delete(key)
		return
	}
	t.set(key, record)
}

// mark begins a change of a key: put it or delete it. The key follows, and what is put has a value after it; see finishMark.
func (t *Tx) mark(present bool, keyLen int) {
	kind := byte(opDelete)
	if present {
		kind = opSet
	}
	t.ops = append(t.ops, kind)
	t.ops = binary.AppendUvarint(t.ops, uint64(keyLen))
	t.count++
}

func (t *Tx) finishMark(present bool) {
	if present {
		t.ops = append(t.ops, 0) // the empty value
	}
}

// Commit hands the transaction over and does not wait. done.Committed is called exactly once, on the completion goroutine, in the
// order of the Commit calls, after everything is durable (nil) or refused. An empty transaction keeps its place in that order and
// costs no sync.
func (t *Tx) Commit(done Completion) {
	t.done = done
	t.commitAt = time.Now()
	t.store.enqueue(t)
}

// reset makes the transaction ready for the next Begin.
func (t *Tx) reset() {
	t.release()
	*t = Tx{store: t.store}
}

// release gives the buffer back; the changes are gone.
func (t *Tx) release() {
	t.store.buffers.put(t.ops)
	t.ops = nil
}
