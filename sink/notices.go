package sink

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/switchyard-im/switchyard/frame"
)

// Notices is what was committed and has to be told to somebody outside: one queue, called a lane, for each who is told, on the disk until it is
// settled. A shard puts a notice in with Tx.Notify, so it is durable together with what it tells of, or not at all; others use Put.
//
// Numbers ascend in the order of the commits over all lanes, and what is not yet durable is not read, so nobody who reads in the order of the
// numbers misses one. The committer gives them.
//
// A lane has no bound of its own here, because a commit must not fail or wait for it: whoever empties it looks at Waiting and takes out what
// is too much (sink/notify puts that into its dead letters).
//
// All methods are safe for concurrent use, but a lane has one who reads and settles.
type Notices struct {
	store *Store
	given atomic.Uint64 // the highest number ever given in this process or found on the disk. Written by the committer and while no engine is open

	mu    sync.Mutex
	lanes map[string]*noticeLane // guarded by mu, and all that is in them, but for the signals
}

// noticeLane is what is known of a lane without reading it.
type noticeLane struct {
	signal  chan struct{} // has room for one: there is something new
	waiting Waiting
}

// Waiting is what a lane holds.
type Waiting struct {
	Notices uint64
	Bytes   uint64 // of their bodies
}

// Notice is one entry of a lane.
type Notice struct {
	Number   uint64
	TimeMS   uint64   // when it was put in, Unix milliseconds
	Conv     frame.ID // what it belongs to; zero: to nothing
	Attempts int      // that failed
	NextMS   uint64   // when to try again, Unix milliseconds
	Body     []byte   // expires when the function that was given the notice returns
}

// Settlement says what becomes of a notice: it is done and goes, or it is tried again.
type Settlement struct {
	Number   uint64
	Done     bool
	Attempts int
	NextMS   uint64
}

// MaxLane and MaxNotice are the longest name of a lane and the longest body of a notice, in bytes.
const (
	MaxLane   = 64
	MaxNotice = 1 << 20
)

func newNotices(s *Store) *Notices { return &Notices{store: s, lanes: map[string]*noticeLane{}} }

// Notices returns the queues of what has to be told.
func (s *Store) Notices() *Notices { return s.notices }

// noticeMark is a notice in a transaction that has no number yet: where in the changes to write it.
type noticeMark struct {
	lane   *noticeLane
	offset int
	bytes  int
}

// Notify puts a notice into a lane. Those of one conversation are in the order of the calls, over its transactions too. A lane that nobody reads
// keeps what it gets. A name or a body that is too long is a bug of the caller.
func (t *Tx) Notify(lane string, conv frame.ID, body []byte) {
	if lane == "" || len(lane) > MaxLane || len(body) > MaxNotice {
		panic(fmt.Sprintf("BUG: sink: a notice of %d bytes for the lane %q", len(body), lane))
	}
	head := noticeHead{timeMS: uint64(time.Now().UnixMilli()), conv: conv}
	key := appendNoticeKey(nil, lane, 0)
	keyEnd := len(t.ops) + 2 + len(key) // kind, and a length of one byte
	t.set(key, append(head.append(nil), body...))
	t.notices = append(t.notices, noticeMark{lane: t.store.notices.lane(lane), offset: keyEnd - 8, bytes: len(body)})
}

// number gives the notices of a transaction their numbers. Committer only.
func (n *Notices) number(t *Tx) {
	if len(t.notices) == 0 {
		return
	}
	given := n.given.Load()
	for _, m := range t.notices {
		given++
		binary.BigEndian.PutUint64(t.ops[m.offset:], given)
	}
	n.given.Store(given)
}

// lane returns a lane, which it makes if need be.
func (n *Notices) lane(name string) *noticeLane {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.laneLocked(name)
}

func (n *Notices) laneLocked(name string) *noticeLane {
	l := n.lanes[name]
	if l == nil {
		l = &noticeLane{signal: make(chan struct{}, 1)}
		n.lanes[name] = l
	}
	return l
}

// load takes what the disk has, before the first commit to a new engine.
func (n *Notices) load(k keptNotices) {
	n.given.Store(max(n.given.Load(), k.last))
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, l := range n.lanes {
		l.waiting = Waiting{}
	}
	for name, waiting := range k.lanes {
		l := n.laneLocked(name)
		l.waiting = waiting
		l.tell()
	}
}

// synced is called by the completer when a batch with these notices is durable.
func (n *Notices) synced(marks []noticeMark) {
	if len(marks) == 0 {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, m := range marks {
		m.lane.waiting.Notices++
		m.lane.waiting.Bytes += uint64(m.bytes)
		m.lane.tell()
	}
}

func (l *noticeLane) tell() {
	select {
	case l.signal <- struct{}{}:
	default: // it is told already
	}
}

// Signal receives after something new is in the lane, or may be. It is for the one who reads it.
func (n *Notices) Signal(lane string) <-chan struct{} { return n.lane(lane).signal }

// Waiting tells what a lane holds.
func (n *Notices) Waiting(lane string) Waiting {
	l := n.lane(lane)
	n.mu.Lock()
	defer n.mu.Unlock()
	return l.waiting
}

// Lanes are those that hold something.
func (n *Notices) Lanes() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	var names []string
	for name, l := range n.lanes {
		if l.waiting.Notices > 0 {
			names = append(names, name)
		}
	}
	return names
}

// Put puts notices into a lane, of each its Conv and Body, and returns when they are durable. It goes on while the store refuses messages for want of
// space. After an error they may or may not be there.
func (n *Notices) Put(ctx context.Context, lane string, notices ...Notice) error {
	return n.store.upkeep(ctx, func(t *Tx) {
		for _, notice := range notices {
			t.Notify(lane, notice.Conv, notice.Body)
		}
	}, nil)
}

// Read calls fn for each notice of a lane with a number greater than after, ascending, until fn wants no more. Fn must not wait for anything that
// may take long: it holds up the reopening of a store that failed.
func (n *Notices) Read(lane string, after uint64, fn func(Notice) (more bool)) error {
	return n.store.read(func(db *pebble.DB) error {
		it, err := db.NewIter(&pebble.IterOptions{LowerBound: appendNoticeKey(nil, lane, after+1), UpperBound: noticeLaneEnd(lane)})
		if err != nil {
			return err
		}
		more := true
		for ok := it.First(); ok && more && err == nil; ok = it.Next() {
			var found Notice
			if found, err = currentNotice(it); err == nil {
				more = fn(found)
			}
		}
		return errors.Join(err, it.Error(), it.Close())
	})
}

// Body appends the body of a notice to dst. It tells whether the notice is still there.
func (n *Notices) Body(dst []byte, lane string, number uint64) (body []byte, ok bool, err error) {
	err = n.store.read(func(db *pebble.DB) error {
		value, found, err := get(db, appendNoticeKey(nil, lane, number))
		if !found || err != nil {
			return err
		}
		_, b, err := parseNotice(value)
		body, ok = append(dst, b...), err == nil
		return err
	})
	return body, ok, err
}

// Settle settles notices of a lane and returns when that is durable. Those that are gone already stay gone. After an error they may or may not be
// settled: say it again.
func (n *Notices) Settle(ctx context.Context, lane string, settlements []Settlement) error {
	var changes settling
	if err := n.store.read(func(db *pebble.DB) error { return changes.prepare(db, lane, settlements) }); err != nil {
		return err
	}
	if len(changes.keys) == 0 {
		return nil
	}
	l := n.lane(lane)
	return n.store.upkeep(ctx, changes.write, func() {
		n.mu.Lock()
		defer n.mu.Unlock()
		l.waiting.Notices -= changes.gone.Notices
		l.waiting.Bytes -= changes.gone.Bytes
	})
}

// settling is one Settle: the keys that change, and their new values, nil where they go.
type settling struct {
	keys, values [][]byte
	gone         Waiting
}

// prepare reads what is there. The lane has one who settles, so it stays until the change.
func (c *settling) prepare(db *pebble.DB, lane string, settlements []Settlement) error {
	for _, s := range settlements {
		key := appendNoticeKey(nil, lane, s.Number)
		value, ok, err := get(db, key)
		if err != nil {
			return err
		}
		if !ok {
			continue
		}
		head, body, err := parseNotice(value)
		if err != nil {
			return err
		}
		c.keys = append(c.keys, key)
		if s.Done {
			c.values = append(c.values, nil)
			c.gone.Notices++
			c.gone.Bytes += uint64(len(body))
			continue
		}
		head.attempts, head.nextMS = uint32(s.Attempts), s.NextMS
		c.values = append(c.values, append(head.append(nil), body...))
	}
	return nil
}

func (c *settling) write(t *Tx) {
	for i, key := range c.keys {
		if c.values[i] == nil {
			t.delete(key)
			continue
		}
		t.set(key, c.values[i])
	}
}
