package dispatch

import (
	"errors"
	"fmt"

	"github.com/switchyard-im/switchyard/dispatch/core"
	"github.com/switchyard-im/switchyard/frame"
)

// ErrUnavailable is what a Tx ends with, and a read returns, while the store cannot keep what it is given (disk full, failed
// fsync, stale generation). The sender is told `unavailable` with a retry time.
var ErrUnavailable = errors.New("dispatch: the store is unavailable")

// ErrGone is what ReadAfter returns when messages that are asked for are kept nowhere any more. Who replays is told that it cannot recover.
var ErrGone = core.ErrGone

// PartialError is what ReadBefore returns, together with a valid page, when older messages belong into the page and are kept where they cannot
// be read now. The page is complete from the sequence From on.
type PartialError struct {
	From uint64
	Err  error
}

func (e *PartialError) Error() string {
	return fmt.Sprintf("dispatch: history before sequence %d cannot be read now: %v", e.From, e.Err)
}

func (e *PartialError) Unwrap() error { return e.Err }

// Store is the journal and the hot history. One store serves all shards; sink implements it, storetest checks any implementation.
// Reads may block on a disk, so they run in the pool for reads, never on a shard.
type Store interface {
	// Begin starts a transaction of the given generation. It waits while too many are in flight (flow control: a shard that waits
	// here lets its mailboxes fill, and the loops then answer overloaded).
	Begin(generation uint64) Tx
	// Generation counts the store's failures. A transaction of an older generation is refused, because what its shard believed
	// when it wrote it was not kept.
	Generation() uint64
	// Available tells whether a commit could succeed now; safe and cheap from any goroutine.
	Available() bool

	// LoadConversation returns the state record and, in ascending order, the last tail messages (fewer if there are fewer).
	// ok is false if the conversation does not exist.
	LoadConversation(conv frame.ID, tail int) (state, messages []byte, ok bool, err error)
	// ReadAfter appends the messages with after < seq <= upto to dst in ascending order, stopping before maxCount or maxBytes is
	// exceeded (but at least one message is returned); last is the sequence of the last one appended, or after if none.
	ReadAfter(dst []byte, conv frame.ID, after, upto uint64, maxCount, maxBytes int) (frames []byte, last uint64, count int, err error)
	// ReadBefore appends the newest messages with seq < before (0: no bound) to dst in ascending order; more tells whether older exist.
	// With a *PartialError the rest of the answer is valid too.
	ReadBefore(dst []byte, conv frame.ID, before uint64, maxCount, maxBytes int) (frames []byte, count int, more bool, err error)
	// Members calls fn for each open conversation of the user.
	Members(user string, fn func(conv frame.ID) error) error
	// OpenConversations calls fn with the state record of each conversation that is not closed; used once, at start.
	OpenConversations(fn func(conv frame.ID, state []byte) error) error
	// Memos calls fn with the memos whose keys begin with prefix, in the order of the keys, without holding up commits; value expires when fn returns.
	Memos(prefix string, fn func(key string, value []byte) error) error
	// Escalations calls fn with each record that Tx.Escalation has put, by conversation and user; used once, at start.
	Escalations(fn func(conv frame.ID, user string, record []byte) error) error
}

// A memo is at most this long; longer ones are a bug of the caller.
const (
	MemoKeyMax   = 512
	MemoValueMax = 1 << 10
)

// Tx collects what one batch of a shard changes; all of it or none survives a crash. Owned by one shard from Begin to Commit; the
// arguments are copied.
type Tx interface {
	// Messages adds the messages first..last of conv, which follow what is stored; frames are their Message frames in a row.
	Messages(conv frame.ID, first, last uint64, frames []byte)
	// Conversation puts the state record (opaque here); open keeps it in the index that OpenConversations reads.
	Conversation(conv frame.ID, state []byte, open bool)
	// Member adds the conversation to the user's list or removes it.
	Member(user string, conv frame.ID, present bool)
	// Memo puts a small record that belongs to no conversation, under a key of the caller's; a nil value takes it away.
	Memo(key string, value []byte)
	// Escalation puts what is known of the messages of conv that the user has not acked (opaque here); nil removes it. It is kept whatever becomes of
	// the conversation. The user may be empty.
	Escalation(conv frame.ID, user string, record []byte)
	// Notify puts a notification for somebody outside into a lane, where it waits until it is sent. Those of one conversation and lane keep their order.
	Notify(lane string, conv frame.ID, body []byte)
	// Commit hands the transaction over. done.Committed is called exactly once, on the store's completion goroutine, in the order of
	// the Commit calls, after everything is durable (nil) or refused. An empty transaction keeps its place in that order and costs no fsync.
	Commit(done Completion)
}

// Completion is told how a transaction ended. It must not block for long: the next commit's acks wait behind it.
type Completion interface{ Committed(err error) }
