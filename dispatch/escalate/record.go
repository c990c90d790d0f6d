package escalate

import (
	"fmt"
	"slices"

	"github.com/vmihailenco/msgpack/v5"

	"github.com/switchyard-im/switchyard/frame"
)

// record is the stored form of a watch; fields are only ever added at the end. Steps go by name, so that a policy may change between two starts.
type record struct {
	//lint:ignore U1000 the msgpack package reads the tag
	_msgpack struct{} `msgpack:",as_array"`
	Version  int
	Policy   string
	Closed   bool
	Acked    uint64
	Last     uint64
	Entries  []recordEntry
	Fired    []recordFired
	Queued   []recordQueued
}

type recordEntry struct {
	//lint:ignore U1000 the msgpack package reads the tag
	_msgpack    struct{} `msgpack:",as_array"`
	First, Last uint64
	SentMS      int64
}

type recordFired struct {
	//lint:ignore U1000 the msgpack package reads the tag
	_msgpack struct{} `msgpack:",as_array"`
	Step     string
	Last     uint64
}

type recordQueued struct {
	//lint:ignore U1000 the msgpack package reads the tag
	_msgpack    struct{} `msgpack:",as_array"`
	Step        string
	First, Last uint64
}

const recordVersion = 1

func (w *watch) record() []byte {
	r := record{Version: recordVersion, Policy: w.policy, Closed: w.closed, Acked: w.acked, Last: w.last}
	for _, e := range w.entries {
		r.Entries = append(r.Entries, recordEntry{First: e.first, Last: e.last, SentMS: e.sentMS})
	}
	for i, last := range w.fired {
		r.Fired = append(r.Fired, recordFired{Step: w.steps[i].Name, Last: last})
	}
	for _, n := range w.queued {
		r.Queued = append(r.Queued, recordQueued{Step: w.steps[n.step].Name, First: n.first, Last: n.last})
	}
	b, err := msgpack.Marshal(&r)
	if err != nil {
		panic("BUG: escalate: a record does not encode: " + err.Error())
	}
	return b
}

// Restore puts back what a record says, before the first event. A step that is new begins with what is sent from now on: it does not look back. What was
// queued of a step that is gone stays queued, and an ack does not cancel it; with its policy the whole record goes.
func (m *Machine) Restore(conv frame.ID, user string, data []byte) error {
	r, err := readRecord(data)
	if err == nil {
		err = r.validate()
	}
	if err != nil {
		return fmt.Errorf("escalate: record of user %q in conversation %s: %w; written by another version of Switchyard?", user, conv, err)
	}
	k := key{conv, user}
	if m.watches[k] != nil {
		return fmt.Errorf("escalate: a second record of user %q in conversation %s", user, conv)
	}
	w := newWatch(k, r.Policy, m.cfg.Policies[r.Policy])
	w.stored = true
	w.closed, w.acked, w.last = r.Closed, r.Acked, r.Last
	if w.steps == nil {
		w.acked = w.last // over
	} else {
		w.restore(&r, m)
	}
	m.watches[k] = w
	m.changed(w, false)
	return nil
}

func (w *watch) restore(r *record, m *Machine) {
	for i, s := range w.steps {
		w.fired[i] = r.Last
		if j := slices.IndexFunc(r.Fired, func(f recordFired) bool { return f.Step == s.Name }); j >= 0 {
			w.fired[i] = r.Fired[j].Last
		}
	}
	for _, q := range r.Queued {
		i := slices.IndexFunc(w.steps, func(s Step) bool { return s.Name == q.Step })
		if i >= 0 && q.Last <= w.fired[i] {
			w.queued = append(w.queued, notification{step: i, first: q.First, last: q.Last})
		}
	}
	for _, e := range r.Entries {
		w.add(entry{first: e.First, last: e.Last, sentMS: e.SentMS}, m)
	}
	w.trim()
}

// validate checks what the invariants of a watch need.
func (r *record) validate() error {
	if r.Version != recordVersion {
		return fmt.Errorf("version %d, this one reads %d", r.Version, recordVersion)
	}
	if r.Acked > r.Last {
		return fmt.Errorf("acked %d of %d", r.Acked, r.Last)
	}
	before := uint64(0)
	for _, e := range r.Entries {
		if e.First <= before || e.Last < e.First || e.Last <= r.Acked || e.Last > r.Last {
			return fmt.Errorf("entry %d to %d after %d, acked %d of %d", e.First, e.Last, before, r.Acked, r.Last)
		}
		before = e.Last
	}
	for _, f := range r.Fired {
		if f.Last > r.Last {
			return fmt.Errorf("step %q fired for %d of %d", f.Step, f.Last, r.Last)
		}
	}
	for _, q := range r.Queued {
		if q.First <= r.Acked || q.Last < q.First {
			return fmt.Errorf("step %q notified of %d to %d, acked %d", q.Step, q.First, q.Last, r.Acked)
		}
	}
	return nil
}
