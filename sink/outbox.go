package sink

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2"
)

// Outbox is what was committed and is not yet shipped to where the history is: one entry for each commit that had messages, numbered in
// the order of the commits, with holes. Whoever ships reads entries, freezes a range of them, sends it as often as it takes, and says that it is shipped;
// a range that was frozen is found again after a crash, with the same entries, so that the receiver can tell that it has them already.
//
// All methods are safe for concurrent use, but only one may ship.
type Outbox struct {
	store *Store
	cap   capacity // fixed

	mu      sync.Mutex
	source  string        // guarded by mu, as all below; fixed once the store is open
	durable place         // up to here the disk has it
	visible uint64        // up to this number entries are read: durable, but for a gap that is still open
	shipped place         // up to here it was deleted; durable
	frozen  Range         // durable; zero: none
	wake    chan struct{} // closed when visible or shipped advances; nil if nobody waits
	oldest  oldest
	alarm   bool      // nearly full
	dropped uint64    // messages given up since the start
	told    time.Time // when the operator was last told of them
}

// oldest is the time of the first entry after a number, kept until more is shipped.
type oldest struct {
	after  uint64
	timeMS uint64 // 0: not known
}

// Range names the entries First..Last of the outbox, inclusive.
type Range struct{ First, Last uint64 }

// Entry is what one commit put into the outbox.
type Entry struct {
	Number uint64
	TimeMS uint64 // when it was committed, Unix milliseconds
	Rows   int    // messages
	Frames []byte // their Message frames in a row; expires when the function that was given the entry returns
	Gap    *Gap   // nil, but where messages are missing: then Rows is 0 and there are no frames
}

// Backlog is what is durable and not yet shipped.
type Backlog struct {
	Rows     uint64
	Bytes    uint64 // of Message frames
	OldestMS uint64 // when the oldest entry was committed, Unix milliseconds; 0 if none waits, or if it cannot be read
}

// ErrNotFrozen is what Shipped ends with for a range that is not the frozen one, and Freeze while another is frozen.
var ErrNotFrozen = errors.New("sink: the range is not the frozen one")

func newOutbox(s *Store) *Outbox {
	return &Outbox{store: s, cap: capacity{max: uint64(s.cfg.OutboxMax)}}
}

// Outbox returns the outbox, or nil if it is off.
func (s *Store) Outbox() *Outbox { return s.outbox }

// load takes what the disk has, before the first commit to a new engine.
func (o *Outbox) load(k kept) {
	if o == nil {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.source, o.shipped, o.durable, o.frozen = k.source, k.shipped, k.last, k.frozen
	o.showLocked(k.last.number)
	o.checkCapLocked()
}

// synced is called by the completer when a batch with so many messages is durable, before anybody is told.
func (o *Outbox) synced(e entry, messages int) {
	if o == nil || e.kind == 0 {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.durable = e.upto
	if e.kind == entryGap {
		o.noteGapLocked(messages)
		return
	}
	o.showLocked(e.upto.number)
	o.checkCapLocked()
}

func (o *Outbox) showLocked(number uint64) {
	o.visible = number
	o.wakeLocked()
}

func (o *Outbox) wakeLocked() {
	if o.wake != nil {
		close(o.wake)
		o.wake = nil
	}
}

// Source is the name of this store, 16 random hexadecimal digits that it got when its outbox was first used.
func (o *Outbox) Source() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.source
}

// Frozen returns the range that was frozen and is not yet shipped. While the store is unavailable nobody knows: ErrUnavailable.
func (o *Outbox) Frozen() (r Range, ok bool, err error) {
	if e := o.store.engine.Load(); e == nil || e.fence.fallen.Load() {
		return Range{}, false, ErrUnavailable
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.frozen, o.frozen != Range{}, nil
}

// Read calls fn for each durable entry that is not shipped, from the first whose number is at least from, ascending, until fn wants no
// more. Fn must not wait for anything that may take long: it holds up the reopening of a store that failed.
func (o *Outbox) Read(from uint64, fn func(Entry) (more bool)) error {
	o.mu.Lock()
	from, upto := max(from, o.shipped.number+1), o.visible
	o.mu.Unlock()
	if from > upto {
		return nil
	}
	return o.store.read(func(db *pebble.DB) error {
		return scanEntries(db, keyOutbox, from, upto, func(it *pebble.Iterator) (bool, error) {
			e, err := readEntry(it)
			return err == nil && fn(e), err
		})
	})
}

// scanEntries runs fn for each entry from..upto, until it wants no more.
func scanEntries(db *pebble.DB, kind byte, from, upto uint64, fn func(*pebble.Iterator) (more bool, err error)) error {
	it, err := db.NewIter(&pebble.IterOptions{LowerBound: appendEntryKey(nil, kind, from), UpperBound: appendEntryKey(nil, kind, upto+1)})
	if err != nil {
		return err
	}
	more := true
	for ok := it.First(); ok && more && err == nil; ok = it.Next() {
		more, err = fn(it)
	}
	return errors.Join(err, it.Error(), it.Close())
}

func readEntry(it *pebble.Iterator) (Entry, error) {
	e, body, err := currentEntry(it)
	if err != nil {
		return Entry{}, err
	}
	public := Entry{Number: e.upto.number, TimeMS: e.timeMS, Rows: int(e.rows), Frames: body}
	if e.kind == entryGap {
		public.Frames = nil
		public.Gap, err = parseGap(body)
	}
	return public, err
}

// Freeze keeps the range as the one that is being sent, and returns when that is durable. Its entries were read, the first of all that are
// not shipped among them. After an error it may or may not be frozen: ask Frozen.
func (o *Outbox) Freeze(ctx context.Context, r Range) error {
	o.mu.Lock()
	frozen, shipped, visible := o.frozen, o.shipped.number, o.visible
	o.mu.Unlock()
	switch {
	case frozen == r:
		return nil
	case frozen != Range{}:
		return fmt.Errorf("%w: freeze %d..%d while %d..%d is frozen", ErrNotFrozen, r.First, r.Last, frozen.First, frozen.Last)
	case r.First > r.Last || r.First <= shipped || r.Last > visible:
		panic(fmt.Sprintf("BUG: sink: freeze %d..%d of %d..%d", r.First, r.Last, shipped+1, visible))
	}
	return o.store.upkeep(ctx, func(t *Tx) { t.set(recordFrozen, r.append(nil)) }, func() {
		o.mu.Lock()
		defer o.mu.Unlock()
		o.frozen = r
	})
}

// Shipped deletes the frozen range and everything before it, and returns when that is durable. A range that is already gone is fine.
// After an error it may or may not be gone: say it again.
func (o *Outbox) Shipped(ctx context.Context, r Range) error {
	o.mu.Lock()
	frozen, shipped := o.frozen, o.shipped
	o.mu.Unlock()
	switch {
	case r.Last <= shipped.number:
		return nil
	case r != frozen:
		return fmt.Errorf("%w: shipped %d..%d while %d..%d is frozen", ErrNotFrozen, r.First, r.Last, frozen.First, frozen.Last)
	}
	upto, err := o.placeOf(r.Last)
	if err != nil {
		return err
	}
	return o.store.upkeep(ctx, func(t *Tx) {
		t.deleteRange(appendEntryKey(nil, keyOutbox, shipped.number+1), appendEntryKey(nil, keyOutbox, r.Last+1))
		t.delete(recordFrozen)
		t.set(recordShipped, appendPlace(nil, upto))
	}, func() {
		o.mu.Lock()
		defer o.mu.Unlock()
		o.shipped, o.frozen = upto, Range{}
		o.wakeLocked()
		o.checkCapLocked()
	})
}

// placeOf reads the place of an entry that is durable.
func (o *Outbox) placeOf(number uint64) (p place, err error) {
	err = o.store.read(func(db *pebble.DB) error {
		key := appendEntryKey(nil, keyOutbox, number)
		value, closer, err := db.Get(key)
		if err != nil {
			return fmt.Errorf("%w: entry %d of the outbox: %w", errDamaged, number, err)
		}
		e, _, err := parseEntry(key, value)
		p = e.upto
		return errors.Join(err, closer.Close())
	})
	return p, err
}

// Wait waits until an entry with a number greater than after is durable and not shipped, until ctx ends, or until the store is closed (ErrUnavailable).
func (o *Outbox) Wait(ctx context.Context, after uint64) error {
	return o.await(ctx, func() bool { return o.visible > max(after, o.shipped.number) })
}

// WaitShipped waits until everything is shipped that was durable when it was called, or as Wait.
func (o *Outbox) WaitShipped(ctx context.Context) error {
	o.mu.Lock()
	upto := o.visible
	o.mu.Unlock()
	return o.await(ctx, func() bool { return o.shipped.number >= upto })
}

// await waits until a condition holds, which is asked with mu held.
func (o *Outbox) await(ctx context.Context, holdsLocked func() bool) error {
	for {
		o.mu.Lock()
		if holdsLocked() {
			o.mu.Unlock()
			return nil
		}
		if o.wake == nil {
			o.wake = make(chan struct{})
		}
		wake := o.wake
		o.mu.Unlock()
		select {
		case <-wake:
		case <-ctx.Done():
			return ctx.Err()
		case <-o.store.closing:
			return ErrUnavailable
		}
	}
}

// Backlog tells how much waits. It is cheap, but for one read from the disk after something was shipped.
func (o *Outbox) Backlog() Backlog {
	o.mu.Lock()
	b := Backlog{
		Rows:  o.durable.rows - o.shipped.rows,
		Bytes: o.durable.bytes - o.shipped.bytes,
	}
	known := o.oldest
	after, last := o.shipped.number, o.durable.number
	o.mu.Unlock()
	if after == last {
		return b
	}
	if known.timeMS == 0 || known.after != after {
		known = oldest{after: after, timeMS: o.readOldest(after + 1)}
		o.mu.Lock()
		o.oldest = known
		o.mu.Unlock()
	}
	b.OldestMS = known.timeMS
	return b
}

// readOldest returns the time of the first entry, or 0 if it cannot be read.
func (o *Outbox) readOldest(from uint64) (timeMS uint64) {
	_ = o.Read(from, func(e Entry) bool { // an error leaves 0
		timeMS = e.TimeMS
		return false
	})
	return timeMS
}
