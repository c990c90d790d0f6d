package switchyard

import (
	"bytes"
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/switchyard-im/switchyard/frame"
)

// Queue is what a client sees of the queue of a group: the first entries of it, kept up to date. All methods may be called from any goroutine.
//
// The server numbers the versions of a queue. A change that follows on the version that is here is taken in; after a gap, or when the window has run
// half empty though more wait, the client asks for the window again.
type Queue struct {
	client *Client
	group  string
	limit  int
	wake   chan struct{} // holds one token while Next may find something

	// Guarded by the client's mutex.
	view    QueueView
	asked   uint64 // ref of the request that is under way; 0: none
	changed bool   // since Next returned last
	err     error
}

// QueueView is a queue at one moment.
type QueueView struct {
	Group   string
	Version uint64 // grows with each change, until the server starts again
	Total   int    // how many wait
	Entries []QueueEntry
}

// QueueEntry is a conversation that waits.
type QueueEntry struct {
	Conversation ID
	Visitor      string
	Since        time.Time // it waits
	Priority     int
	Front        bool // it was put back to the front
	rankMS       uint64
}

// MaxQueueLimit is how many entries of a queue can be seen at most.
const MaxQueueLimit = 200

// Watch follows the queue of a group, for its agents and supervisors: the first limit entries, 1 to MaxQueueLimit, of which at least half are there. It
// goes on over reconnects until Close. A queue that this client watches already is returned as it is.
func (c *Client) Watch(ctx context.Context, group string, limit int) (*Queue, error) {
	q, err := c.session.startWatch(c, group, min(max(limit, 1), MaxQueueLimit))
	if err != nil {
		return nil, err
	}
	if _, err := q.await(ctx, func() bool { return q.asked == 0 }); err != nil {
		return nil, err
	}
	return q, nil
}

func (s *session) startWatch(c *Client, group string, limit int) (*Queue, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return nil, s.err
	}
	if q := s.queues[group]; q != nil {
		return q, nil
	}
	q := &Queue{client: c, group: group, limit: limit, wake: make(chan struct{}, 1), view: QueueView{Group: group}}
	s.queues[group] = q
	s.ask(q)
	return q, nil
}

// View returns the queue as it is known now.
func (q *Queue) View() QueueView {
	q.client.session.mu.Lock()
	defer q.client.session.mu.Unlock()
	return q.copied()
}

// Next returns the queue, at first as it is, and then waits until it has changed since Next returned last. Changes that come together are one.
func (q *Queue) Next(ctx context.Context) (QueueView, error) {
	return q.await(ctx, func() bool {
		news := q.changed && q.asked == 0
		q.changed = q.changed && !news
		return news
	})
}

// Close ends it.
func (q *Queue) Close() {
	s := q.client.session
	s.mu.Lock()
	defer s.mu.Unlock()
	if q.err == nil && s.up {
		s.send(&frame.Watch{Group: []byte(q.group)})
	}
	s.endQueue(q, ErrDetached)
}

// await returns the view once it is ready, which is called with mu.
func (q *Queue) await(ctx context.Context, ready func() bool) (QueueView, error) {
	for {
		if view, ok, err := q.look(ready); ok || err != nil {
			return view, err
		}
		select {
		case <-q.wake:
		case <-ctx.Done():
			return QueueView{}, ctx.Err()
		}
	}
}

func (q *Queue) look(ready func() bool) (view QueueView, ok bool, err error) {
	s := q.client.session
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case q.err != nil:
		q.notify() // others may wait
		return view, false, q.err
	case !ready():
		return view, false, nil
	}
	return q.copied(), true, nil
}

func (q *Queue) copied() QueueView {
	view := q.view
	view.Entries = slices.Clone(view.Entries)
	return view
}

func (q *Queue) notify() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// ask requests the window. What changes until it comes is in it. Called with mu.
func (s *session) ask(q *Queue) {
	delete(s.calls, q.asked)
	q.asked = s.ref()
	s.calls[q.asked] = &pendingCall{
		request: func(ref uint64) encoder {
			return &frame.Watch{Ref: ref, Group: []byte(q.group), Limit: uint64(q.limit)}
		},
		answer: func(s *session, typ frame.Type, f []byte, err error) { s.answered(q, typ, f, err) },
	}
	s.repeat(q.asked)
}

// answered takes the window.
func (s *session) answered(q *Queue, typ frame.Type, f []byte, err error) {
	var queue frame.Queue
	if err == nil {
		err = parseAnswer(typ, f, frame.TypeQueue, &queue)
	}
	var entries []QueueEntry
	if err == nil {
		entries, err = readEntries(queue.Entries)
	}
	if err != nil {
		s.endQueue(q, err)
		return
	}
	q.asked, q.changed = 0, true
	q.view = QueueView{Group: q.group, Version: queue.Version, Total: number(queue.Total), Entries: entries}
	q.notify()
}

func readEntries(frames []byte) (entries []QueueEntry, err error) {
	for len(frames) > 0 {
		var e frame.QueueChange
		_, f, rest, err := frame.Next(frames)
		if err == nil {
			err = e.Parse(f)
		}
		if err != nil {
			return nil, err
		}
		entries, frames = append(entries, newEntry(&e)), rest
	}
	return entries, nil
}

func newEntry(f *frame.QueueChange) QueueEntry {
	return QueueEntry{
		Conversation: f.Conv, Visitor: string(f.Visitor), Since: fromMS(f.SinceMS), Priority: number(f.Priority), Front: f.Front, rankMS: f.RankMS,
	}
}

// queueChanged takes one change.
func (s *session) queueChanged(f *frame.QueueChange) {
	q := s.queues[string(f.Group)]
	switch {
	case q == nil || q.asked != 0 || f.Version <= q.view.Version:
		return
	case f.Version > q.view.Version+1:
		s.ask(q)
		return
	}
	q.take(f)
	if len(q.view.Entries) < q.view.Total && len(q.view.Entries) <= q.limit/2 {
		s.ask(q)
	}
	q.notify()
}

// take applies a change that follows on the version that is here.
func (q *Queue) take(f *frame.QueueChange) {
	v := &q.view
	whole := len(v.Entries) == v.Total
	v.Version, v.Total, q.changed = f.Version, number(f.Total), true
	if f.Op == frame.QueueRemoved {
		v.Entries = slices.DeleteFunc(v.Entries, func(e QueueEntry) bool { return e.Conversation == f.Conv })
		return
	}
	e := newEntry(f)
	i, known := slices.BinarySearchFunc(v.Entries, e, QueueEntry.compare)
	if known || i == len(v.Entries) && !whole {
		return // behind the window
	}
	v.Entries = slices.Insert(v.Entries, i, e)
	v.Entries = v.Entries[:min(len(v.Entries), q.limit)]
}

// compare is the order of a queue.
func (e QueueEntry) compare(o QueueEntry) int {
	if e.Front != o.Front {
		if e.Front {
			return -1
		}
		return 1
	}
	return cmp.Or(cmp.Compare(e.rankMS, o.rankMS), bytes.Compare(e.Conversation[:], o.Conversation[:]))
}

// endQueue forgets a queue. Called with mu.
func (s *session) endQueue(q *Queue, err error) {
	if q.err != nil {
		return
	}
	q.err = err
	delete(s.calls, q.asked)
	if s.queues[q.group] == q {
		delete(s.queues, q.group)
	}
	q.notify()
}
