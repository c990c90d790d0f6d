// Package memstore is a dispatch.Store in memory: the obvious one, for tests and as the model for others. It keeps nothing over the
// end of the process, is not fast and never compacts.
//
// Completions run on one goroutine of the store, from New to Close.
package memstore

import (
	"bytes"
	"cmp"
	"maps"
	"slices"
	"sort"
	"strings"
	"sync"
	"time"

	"github.com/switchyard-im/switchyard/dispatch"
	"github.com/switchyard-im/switchyard/frame"
)

// Store implements dispatch.Store. All methods are safe for concurrent use.
type Store struct {
	mu         sync.Mutex // guards everything below
	wake       *sync.Cond // the queue, held or closed changed
	queue      []*tx      // committed and not yet completed; unbounded, as this is for tests
	held       bool
	closed     bool
	failed     bool
	perMessage time.Duration
	generation uint64
	convs      map[frame.ID]*conversation
	members    map[string]map[frame.ID]bool
	memos      map[string][]byte
	escalated  map[escalation][]byte
	notices    map[string][][]byte // by lane

	done chan struct{}
}

type escalation struct {
	conv frame.ID
	user string
}

type conversation struct {
	state    []byte // nil: none
	open     bool
	seqs     []uint64
	messages [][]byte // the frame of each of seqs
}

// New starts a store that is empty and available.
func New() *Store {
	s := &Store{
		generation: 1,
		convs:      map[frame.ID]*conversation{},
		members:    map[string]map[frame.ID]bool{},
		memos:      map[string][]byte{},
		escalated:  map[escalation][]byte{},
		notices:    map[string][][]byte{},
		done:       make(chan struct{}),
	}
	s.wake = sync.NewCond(&s.mu)
	go s.complete() // until Close, which waits
	return s
}

// Close completes what was committed and ends the store.
func (s *Store) Close() {
	s.set(func() { s.closed, s.held = true, false })
	<-s.done
}

// Hold keeps back completions until Resume, as a slow disk would.
func (s *Store) Hold() { s.set(func() { s.held = true }) }

// Resume ends a Hold.
func (s *Store) Resume() { s.set(func() { s.held = false }) }

// Fail makes the store unavailable, as a full disk would: what is not completed yet, and all that comes until Recover, is refused.
func (s *Store) Fail() { s.set(func() { s.failed = true; s.generation++ }) }

// Recover ends a Fail.
func (s *Store) Recover() { s.set(func() { s.failed = false; s.generation++ }) }

func (s *Store) set(change func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change()
	s.wake.Broadcast()
}

// complete is the completion goroutine.
func (s *Store) complete() {
	defer close(s.done)
	for {
		t, err, ok := s.next()
		if !ok {
			return
		}
		s.work(t)
		t.done.Committed(err)
	}
}

// next waits for a transaction, applies it and returns how it ended; ok is false at the end of the store.
func (s *Store) next() (t *tx, err error, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.held || len(s.queue) == 0 && !s.closed {
		s.wake.Wait()
	}
	if len(s.queue) == 0 {
		return nil, nil, false
	}
	t, s.queue = s.queue[0], s.queue[1:]
	if s.failed || t.generation != s.generation {
		return t, dispatch.ErrUnavailable, true
	}
	for _, change := range t.changes {
		change()
	}
	return t, nil, true
}

// Begin starts a transaction; it never waits.
func (s *Store) Begin(generation uint64) dispatch.Tx { return &tx{store: s, generation: generation} }

// Generation counts calls of Fail and Recover, from 1.
func (s *Store) Generation() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.generation
}

// Available is false between Fail and Recover, and after Close.
func (s *Store) Available() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.failed && !s.closed
}

// tx keeps what it is told as a list of changes, each run with the store locked.
type tx struct {
	store      *Store
	generation uint64
	messages   int
	changes    []func()
	done       dispatch.Completion
}

func (t *tx) change(f func()) { t.changes = append(t.changes, f) }

func (t *tx) Messages(conv frame.ID, first, last uint64, frames []byte) {
	var messages [][]byte
	for b := append([]byte{}, frames...); len(b) > 0; {
		_, m, rest, err := frame.Next(b)
		if err != nil {
			panic("BUG: memstore: a message that is no frame: " + err.Error())
		}
		messages = append(messages, m)
		b = rest
	}
	if uint64(len(messages)) != last-first+1 {
		panic("BUG: memstore: not one frame for each sequence")
	}
	t.messages += len(messages)
	t.change(func() {
		c := t.store.conversation(conv)
		for i, m := range messages {
			c.seqs = append(c.seqs, first+uint64(i))
			c.messages = append(c.messages, m)
		}
	})
}

func (t *tx) Conversation(conv frame.ID, state []byte, open bool) {
	state = append([]byte{}, state...)
	t.change(func() {
		c := t.store.conversation(conv)
		c.state, c.open = state, open
	})
}

func (t *tx) Member(user string, conv frame.ID, present bool) {
	t.change(func() {
		if t.store.members[user] == nil {
			t.store.members[user] = map[frame.ID]bool{}
		}
		if present {
			t.store.members[user][conv] = true
		} else {
			delete(t.store.members[user], conv)
		}
	})
}

func (t *tx) Memo(key string, value []byte) {
	if len(key) > dispatch.MemoKeyMax || len(value) > dispatch.MemoValueMax {
		panic("BUG: memstore: a memo that is too long")
	}
	value = bytes.Clone(value)
	t.change(func() {
		if value == nil {
			delete(t.store.memos, key)
		} else {
			t.store.memos[key] = value
		}
	})
}

func (t *tx) Escalation(conv frame.ID, user string, record []byte) {
	record = bytes.Clone(record)
	t.change(func() {
		if key := (escalation{conv, user}); record == nil {
			delete(t.store.escalated, key)
		} else {
			t.store.escalated[key] = record
		}
	})
}

func (t *tx) Notify(lane string, _ frame.ID, body []byte) {
	body = bytes.Clone(body)
	t.change(func() { t.store.notices[lane] = append(t.store.notices[lane], body) })
}

func (t *tx) Commit(done dispatch.Completion) {
	t.done = done
	t.store.set(func() { t.store.queue = append(t.store.queue, t) })
}

func (s *Store) conversation(conv frame.ID) *conversation {
	c := s.convs[conv]
	if c == nil {
		c = &conversation{}
		s.convs[conv] = c
	}
	return c
}

// view runs f with the store locked; c is empty if the conversation does not exist.
func (s *Store) view(conv frame.ID, f func(c *conversation)) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failed || s.closed {
		return dispatch.ErrUnavailable
	}
	c := s.convs[conv]
	if c == nil {
		c = &conversation{}
	}
	f(c)
	return nil
}

// LoadConversation is as in dispatch.Store, and so are the reads below.
func (s *Store) LoadConversation(conv frame.ID, tail int) (state, messages []byte, ok bool, err error) {
	err = s.view(conv, func(c *conversation) {
		ok = c.state != nil || len(c.seqs) > 0
		state = append([]byte(nil), c.state...)
		for _, m := range c.messages[max(0, len(c.messages)-tail):] {
			messages = append(messages, m...)
		}
	})
	return state, messages, ok, err
}

func (s *Store) ReadAfter(dst []byte, conv frame.ID, after, upto uint64, maxCount, maxBytes int) (frames []byte, last uint64, count int, err error) {
	last = after
	size := 0
	err = s.view(conv, func(c *conversation) {
		for i, m := range c.messages {
			if c.seqs[i] <= after || c.seqs[i] > upto {
				continue
			}
			if count > 0 && (count == maxCount || size+len(m) > maxBytes) {
				return
			}
			dst = append(dst, m...)
			last = c.seqs[i]
			size += len(m)
			count++
		}
	})
	return dst, last, count, err
}

func (s *Store) ReadBefore(dst []byte, conv frame.ID, before uint64, maxCount, maxBytes int) (frames []byte, count int, more bool, err error) {
	err = s.view(conv, func(c *conversation) {
		end := len(c.seqs)
		if before > 0 {
			end = sort.Search(len(c.seqs), func(i int) bool { return c.seqs[i] >= before })
		}
		start, size := end, 0
		for start > 0 && (count == 0 || count < maxCount && size+len(c.messages[start-1]) <= maxBytes) {
			start--
			size += len(c.messages[start])
			count++
		}
		for _, m := range c.messages[start:end] {
			dst = append(dst, m...)
		}
		more = start > 0
	})
	return dst, count, more, err
}

func (s *Store) Members(user string, fn func(conv frame.ID) error) error {
	var convs []frame.ID
	if err := s.view(frame.ID{}, func(*conversation) {
		for conv := range s.members[user] {
			convs = append(convs, conv)
		}
	}); err != nil {
		return err
	}
	for _, conv := range sorted(convs) {
		if err := fn(conv); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) OpenConversations(fn func(conv frame.ID, state []byte) error) error {
	var convs []frame.ID
	states := map[frame.ID][]byte{}
	if err := s.view(frame.ID{}, func(*conversation) {
		for conv, c := range s.convs {
			if c.open {
				convs = append(convs, conv)
				states[conv] = c.state
			}
		}
	}); err != nil {
		return err
	}
	for _, conv := range sorted(convs) {
		if err := fn(conv, states[conv]); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) Memos(prefix string, fn func(key string, value []byte) error) error {
	var memos map[string][]byte
	if err := s.view(frame.ID{}, func(*conversation) { memos = maps.Clone(s.memos) }); err != nil {
		return err
	}
	for _, key := range slices.Sorted(maps.Keys(memos)) {
		if !strings.HasPrefix(key, prefix) {
			continue
		}
		if err := fn(key, memos[key]); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) Escalations(fn func(conv frame.ID, user string, record []byte) error) error {
	records := map[escalation][]byte{}
	if err := s.view(frame.ID{}, func(*conversation) { maps.Copy(records, s.escalated) }); err != nil {
		return err
	}
	keys := slices.SortedFunc(maps.Keys(records), func(a, b escalation) int {
		return cmp.Or(bytes.Compare(a.conv[:], b.conv[:]), cmp.Compare(a.user, b.user))
	})
	for _, key := range keys {
		if err := fn(key.conv, key.user, records[key]); err != nil {
			return err
		}
	}
	return nil
}

// Notices returns what was put into a lane; nothing takes it out.
func (s *Store) Notices(lane string) (bodies [][]byte) {
	s.set(func() { bodies = slices.Clone(s.notices[lane]) })
	return bodies
}

func sorted(convs []frame.ID) []frame.ID {
	sort.Slice(convs, func(i, j int) bool { return string(convs[i][:]) < string(convs[j][:]) })
	return convs
}

var _ dispatch.Store = (*Store)(nil)
