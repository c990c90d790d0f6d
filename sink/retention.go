package sink

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/switchyard-im/switchyard/frame"
)

// retention deletes old messages: those that were stored longer ago than Config.Retention, and the oldest while there are more than
// Config.RetentionBytes. Never what waits in the outbox.
//
// Invariants:
//  1. What is left of a conversation is its newest part, without holes: whatever is deleted, all before it is deleted too.
//  2. The last record of a conversation stays, so that its end can be read from here.
//
// It runs beside the message path, takes its records away in small transactions, and rests four times as long as it works.
type retention struct {
	// Fixed after construction.
	store *Store
	// deleted counts records; safe for concurrent use.
	deleted prometheus.Counter

	mu      sync.Mutex
	durable age // guarded by mu: up to here commits are noted on the disk
	pruned  age // guarded by mu: up to here they are deleted
}

// pruneOps is how many records one transaction deletes; messages wait while they are applied.
const pruneOps = 256

func newRetention(s *Store) *retention {
	return &retention{store: s, deleted: prometheus.NewCounter(prometheus.CounterOpts{
		Namespace: namespace, Subsystem: subsystem, Name: "pruned_total",
		Help: "Records of messages that were deleted because they are older, or more, than what is kept.",
	})}
}

// observed is for the metrics.
func (r *retention) observed() []prometheus.Collector {
	if r == nil {
		return nil
	}
	return []prometheus.Collector{
		r.deleted,
		gaugeFunc("kept_bytes", "Bytes of the messages that are kept, before compression.", func() float64 {
			r.mu.Lock()
			defer r.mu.Unlock()
			return float64(r.durable.bytes - r.pruned.bytes)
		}),
	}
}

// load takes what the disk has, before the first commit to a new engine.
func (r *retention) load(k kept) {
	if r == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.durable, r.pruned = k.aged, k.pruned
}

// synced is called by the completer when a batch is durable.
func (r *retention) synced(a age) {
	if r == nil || a.number == 0 {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.durable = a
}

// run prunes until ctx ends. While the store is unavailable it waits.
func (r *retention) run(ctx context.Context) {
	for pause := r.store.cfg.pruneInterval; sleep(ctx, pause); {
		began := time.Now()
		more, err := r.step(ctx)
		if err != nil && !errors.Is(err, ErrUnavailable) && ctx.Err() == nil {
			r.store.log.Error("sink: old messages cannot be deleted", "error", err)
		}
		if pause = r.store.cfg.pruneInterval; more && err == nil {
			pause = 4 * time.Since(began)
		}
	}
}

// step deletes what some commits stored; more tells that there may be more to delete.
func (r *retention) step(ctx context.Context) (more bool, err error) {
	r.store.changing.Lock()
	defer r.store.changing.Unlock()
	d, err := r.due(time.Now())
	if err != nil || d.upto.number == 0 {
		return false, err
	}
	for _, conv := range slices.SortedFunc(maps.Keys(d.convs), compareIDs) {
		if err := d.prune(ctx, r.store, conv); err != nil {
			return false, err
		}
	}
	if err := d.commit(ctx, r.store, 1); err != nil {
		return false, err
	}
	return true, r.forget(ctx, d.upto)
}

func compareIDs(a, b frame.ID) int { return bytes.Compare(a[:], b[:]) }

// forget deletes the aging entries up to a commit, after their records.
func (r *retention) forget(ctx context.Context, upto age) error {
	r.mu.Lock()
	from := r.pruned.number + 1
	r.mu.Unlock()
	return r.store.upkeep(ctx, func(t *Tx) {
		t.deleteRange(appendEntryKey(nil, keyAging, from), appendEntryKey(nil, keyAging, upto.number+1))
		t.set(recordPruned, appendAge(nil, upto))
	}, func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.pruned = upto
	})
}

// due is what one step deletes.
type due struct {
	// generation is that from before anything was read. What is read may not be durable yet, and a record is the last of its conversation again when
	// a failure has taken back the one behind it.
	generation uint64

	upto  age
	convs map[frame.ID]uint64 // of each conversation all records up to this one, but never its last
	keys  []byte              // of records, found and not yet deleted, in a row; at most pruneOps
}

// due reads the aging entries of commits whose time has come, oldest first, up to about pruneStep records.
func (r *retention) due(now time.Time) (*due, error) {
	cfg := &r.store.cfg
	r.mu.Lock()
	from, upto, size, pruned := r.pruned.number+1, r.durable.number, r.durable.bytes, r.pruned.bytes
	r.mu.Unlock()
	if o := r.store.outbox; o != nil {
		upto = min(upto, o.shippedUpTo().number)
	}
	d := &due{generation: r.store.Generation(), convs: map[frame.ID]uint64{}}
	if from > upto {
		return d, nil
	}
	before := uint64(max(0, now.Add(-cfg.Retention).UnixMilli()))
	items := 0
	return d, r.store.read(func(db *pebble.DB) error {
		return scanEntries(db, keyAging, from, upto, func(it *pebble.Iterator) (bool, error) {
			value, err := it.ValueAndErr()
			if err != nil {
				return false, err
			}
			e, err := parseAging(it.Key(), value)
			if err != nil {
				return false, err
			}
			old := cfg.Retention > 0 && e.timeMS <= before
			large := cfg.RetentionBytes > 0 && size-pruned > uint64(cfg.RetentionBytes)
			if !old && !large {
				return false, nil
			}
			d.add(e)
			pruned = e.upto.bytes
			items += len(e.items) / agingItemLen
			return items < cfg.pruneStep, nil
		})
	})
}

func (d *due) add(e agingEntry) {
	d.upto = e.upto
	for items := e.items; len(items) > 0; items = items[agingItemLen:] {
		conv, last := frame.ID(items[:len(frame.ID{})]), lastOf(append([]byte{keyMessages}, items[:agingItemLen]...))
		d.convs[conv] = max(d.convs[conv], last)
	}
}

// prune deletes the records of a conversation from its first to the one named, but for its last. Starting with the first keeps invariant 1, also
// where a last record was kept earlier, and for records that were stored when there was no retention.
func (d *due) prune(ctx context.Context, s *Store, conv frame.ID) error {
	for from, more := uint64(0), true; more; {
		var err error
		if from, more, err = d.collect(s, conv, from); err != nil {
			return err
		}
		if err := d.commit(ctx, s, pruneOps); err != nil {
			return err
		}
	}
	return nil
}

// collect finds some of the records that prune deletes; next is where to go on.
func (d *due) collect(s *Store, conv frame.ID, from uint64) (next uint64, more bool, err error) {
	err = s.read(func(db *pebble.DB) error {
		return scan(db, appendConvKey(nil, keyMessages, conv), func(it *pebble.Iterator) error {
			more = false
			for ok := it.SeekGE(appendMessagesKey(nil, conv, from)); ok && lastOf(it.Key()) <= d.convs[conv]; {
				if len(d.keys) >= pruneOps*messagesKeyLen {
					more = true
					return nil
				}
				next = lastOf(it.Key()) + 1
				d.keys = append(d.keys, it.Key()...)
				if ok = it.Next(); !ok {
					d.keys = d.keys[:len(d.keys)-messagesKeyLen] // the last record
				}
			}
			return nil
		})
	})
	return next, more, err
}

// commit deletes what was collected, if it is at least so many records.
func (d *due) commit(ctx context.Context, s *Store, least int) error {
	n := len(d.keys) / messagesKeyLen
	if n < least {
		return nil
	}
	err := s.upkeep(ctx, func(t *Tx) {
		t.generation = d.generation
		for key := range slices.Chunk(d.keys, messagesKeyLen) {
			t.delete(key)
		}
	}, func() { s.retention.deleted.Add(float64(n)) })
	d.keys = d.keys[:0]
	return err
}
