package sink

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"github.com/cockroachdb/pebble/v2"

	"github.com/switchyard-im/switchyard/frame"
)

// errDamaged is what reading a record ends with that was not written by this package.
var errDamaged = errors.New("sink: a record of the store is damaged: restore it from a backup")

// read runs f on the engine. Whatever f found is worth nothing if the fence fell meanwhile.
func (s *Store) read(f func(*pebble.DB) error) error {
	e := s.engine.Load()
	if e == nil || !e.acquire() {
		return ErrUnavailable
	}
	defer e.release()
	err := f(e.db)
	if e.fence.fallen.Load() {
		return ErrUnavailable
	}
	return err
}

// scan runs f with an iterator over the keys with this prefix.
func scan(db *pebble.DB, prefix []byte, f func(*pebble.Iterator) error) error {
	it, err := db.NewIter(&pebble.IterOptions{LowerBound: prefix, UpperBound: appendSuccessor(nil, prefix)})
	if err != nil {
		return err
	}
	return errors.Join(f(it), it.Error(), it.Close())
}

// get copies the value of a key.
func get(db *pebble.DB, key []byte) (value []byte, ok bool, err error) {
	v, closer, err := db.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, err
	}
	return append([]byte{}, v...), true, closer.Close()
}

// messageRecord is one value of a messages key; frames borrows from it.
type messageRecord struct {
	first, last uint64
	frames      []byte
}

func (r messageRecord) count() int { return int(r.last - r.first + 1) }

// currentRecord reads the record at which the iterator stands. It expires with the iterator's next move.
func currentRecord(it *pebble.Iterator) (messageRecord, error) {
	value, err := it.ValueAndErr()
	if err != nil {
		return messageRecord{}, err
	}
	more, n := binary.Uvarint(value)
	if len(it.Key()) != messagesKeyLen || n <= 0 || more >= lastOf(it.Key()) {
		return messageRecord{}, errDamaged
	}
	last := lastOf(it.Key())
	return messageRecord{first: last - more, last: last, frames: value[n:]}, nil
}

// next takes the first message off the record.
func (r *messageRecord) next() (message []byte, err error) {
	_, message, rest, err := frame.Next(r.frames)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errDamaged, err)
	}
	r.frames = rest
	r.first++
	return message, nil
}

// skipTo drops the messages before seq.
func (r *messageRecord) skipTo(seq uint64) error {
	for r.first < seq && r.first <= r.last {
		if _, err := r.next(); err != nil {
			return err
		}
	}
	return nil
}

// LoadConversation returns the state record and, in ascending order, the last tail messages (fewer if there are fewer). ok is
// false if the conversation has neither state nor messages.
func (s *Store) LoadConversation(conv frame.ID, tail int) (state, messages []byte, ok bool, err error) {
	err = s.read(func(db *pebble.DB) (err error) {
		if state, ok, err = get(db, appendConvKey(nil, keyState, conv)); err != nil {
			return err
		}
		page := page{maxCount: tail, maxBytes: math.MaxInt}
		if err = page.read(db, conv, 0); err != nil {
			return err
		}
		messages = page.appendTo(nil)
		ok = ok || page.count > 0 || page.more
		return nil
	})
	if err != nil {
		return nil, nil, false, err
	}
	return state, messages, ok, nil
}

// ReadAfter appends the messages with after < seq <= upto to dst in ascending order, stopping before maxCount or maxBytes is
// exceeded (but at least one message is returned); last is the sequence of the last one appended, or after if none.
//
// What is committed and not yet synced may be seen; upto keeps a reader to what it knows to be durable.
func (s *Store) ReadAfter(dst []byte, conv frame.ID, after, upto uint64, maxCount, maxBytes int) (frames []byte, last uint64, count int, err error) {
	w := window{dst: dst, start: len(dst), after: after, upto: upto, maxCount: max(maxCount, 1), maxBytes: maxBytes}
	if after < upto {
		err = s.read(func(db *pebble.DB) error {
			return scan(db, appendConvKey(nil, keyMessages, conv), func(it *pebble.Iterator) error {
				return w.read(it, appendMessagesKey(nil, conv, after+1))
			})
		})
	}
	if err != nil {
		return dst, after, 0, err
	}
	return w.dst, w.after, w.count, nil
}

// window is a forward read in progress.
type window struct {
	dst                []byte
	start              int    // length of dst before
	after              uint64 // the last sequence that was read
	upto               uint64
	count              int
	maxCount, maxBytes int
}

func (w *window) read(it *pebble.Iterator, from []byte) error {
	for ok := it.SeekGE(from); ok; ok = it.Next() {
		r, err := currentRecord(it)
		if err != nil {
			return err
		}
		if r.first > w.upto {
			return nil
		}
		if w.takeWhole(r) {
			continue
		}
		full, err := w.takeEach(r)
		if full || err != nil {
			return err
		}
	}
	return nil
}

// takeWhole is the fast path: the record fits, and is copied without looking into it.
func (w *window) takeWhole(r messageRecord) bool {
	if r.first <= w.after || r.last > w.upto || w.count+r.count() > w.maxCount || len(w.dst)-w.start+len(r.frames) > w.maxBytes {
		return false
	}
	w.dst = append(w.dst, r.frames...)
	w.count += r.count()
	w.after = r.last
	return true
}

// takeEach takes what is wanted of a record message by message; full tells that the window ends in it.
func (w *window) takeEach(r messageRecord) (full bool, err error) {
	if err := r.skipTo(w.after + 1); err != nil {
		return false, err
	}
	for seq := r.first; seq <= r.last; seq++ {
		if seq > w.upto || w.count == w.maxCount {
			return true, nil
		}
		m, err := r.next()
		if err != nil {
			return false, err
		}
		if w.count > 0 && len(w.dst)-w.start+len(m) > w.maxBytes {
			return true, nil
		}
		w.dst = append(w.dst, m...)
		w.count++
		w.after = seq
	}
	return false, nil
}

// ReadBefore appends the newest messages with seq < before (0: no bound) to dst in ascending order, as many as maxCount and
// maxBytes allow (but at least one, if there is one); more tells whether older exist.
func (s *Store) ReadBefore(dst []byte, conv frame.ID, before uint64, maxCount, maxBytes int) (frames []byte, count int, more bool, err error) {
	page := page{maxCount: max(maxCount, 1), maxBytes: maxBytes}
	if err := s.read(func(db *pebble.DB) error { return page.read(db, conv, before) }); err != nil {
		return dst, 0, false, err
	}
	return page.appendTo(dst), page.count, page.more, nil
}

// page is a backward read in progress. Records come newest first and each is kept as one piece, in the order of its messages.
type page struct {
	maxCount, maxBytes int

	buf    []byte // the pieces, newest first
	pieces []int  // where each piece begins in buf
	count  int
	more   bool
}

// appendTo appends the messages in ascending order.
func (p *page) appendTo(dst []byte) []byte {
	end := len(p.buf)
	for i := len(p.pieces) - 1; i >= 0; i-- {
		dst = append(dst, p.buf[p.pieces[i]:end]...)
		end = p.pieces[i]
	}
	return dst
}

func (p *page) read(db *pebble.DB, conv frame.ID, before uint64) error {
	return scan(db, appendConvKey(nil, keyMessages, conv), func(it *pebble.Iterator) error {
		for ok := seekBefore(it, conv, before); ok && !p.more; ok = it.Prev() {
			r, err := currentRecord(it)
			if err != nil {
				return err
			}
			if err := p.take(r, before); err != nil {
				return err
			}
		}
		return nil
	})
}

// seekBefore moves to the last record that may have messages before a sequence.
func seekBefore(it *pebble.Iterator, conv frame.ID, before uint64) bool {
	if before == 0 {
		return it.Last()
	}
	return it.SeekGE(appendMessagesKey(nil, conv, before)) || it.Last()
}

// take takes the newest messages of a record that fit.
func (p *page) take(r messageRecord, before uint64) error {
	if before == 0 || r.last < before {
		if p.count+r.count() <= p.maxCount && len(p.buf)+len(r.frames) <= p.maxBytes {
			p.push(r.frames, r.count())
			return nil
		}
	}
	return p.takeEach(r, before)
}

func (p *page) push(frames []byte, count int) {
	p.pieces = append(p.pieces, len(p.buf))
	p.buf = append(p.buf, frames...)
	p.count += count
}

func (p *page) takeEach(r messageRecord, before uint64) error {
	whole := r.frames
	var starts []int // of the messages before the bound
	end := 0
	for seq := r.first; seq <= r.last && (before == 0 || seq < before); seq++ {
		starts = append(starts, end)
		if _, err := r.next(); err != nil {
			return err
		}
		end = len(whole) - len(r.frames)
	}
	n := 0 // how many fit, from the end
	for n < len(starts) && p.fits(n+1, end-starts[len(starts)-n-1]) {
		n++
	}
	p.more = n < len(starts)
	if n > 0 {
		p.push(whole[starts[len(starts)-n]:end], n)
	}
	return nil
}

// fits tells whether n more messages of size bytes together may be taken; the first always may, unless none is wanted at all.
func (p *page) fits(n, size int) bool {
	if p.count+n > p.maxCount {
		return false
	}
	return p.count+n == 1 || len(p.buf)+size <= p.maxBytes
}

// Members calls fn for each open conversation of the user, in the order of their ids. An error of fn ends it and is returned.
func (s *Store) Members(user string, fn func(conv frame.ID) error) error {
	if len(user) > maxUserLen {
		return nil
	}
	return s.read(func(db *pebble.DB) error {
		prefix := appendMemberPrefix(nil, user)
		return scan(db, prefix, func(it *pebble.Iterator) error {
			for ok := it.First(); ok; ok = it.Next() {
				conv := it.Key()[len(prefix):]
				if len(conv) != len(frame.ID{}) {
					return errDamaged
				}
				if err := fn(frame.ID(conv)); err != nil {
					return err
				}
			}
			return nil
		})
	})
}

// OpenConversations calls fn with the state record of each conversation that is not closed; the record expires when fn returns.
// An error of fn ends it and is returned.
func (s *Store) OpenConversations(fn func(conv frame.ID, state []byte) error) error {
	return s.read(func(db *pebble.DB) error {
		return scan(db, []byte{keyOpen}, func(it *pebble.Iterator) error {
			for ok := it.First(); ok; ok = it.Next() {
				if len(it.Key()) != convKeyLen {
					return errDamaged
				}
				conv := frame.ID(it.Key()[1:])
				state, ok, err := get(db, appendConvKey(nil, keyState, conv))
				if err != nil {
					return err
				}
				if !ok {
					continue // closed and forgotten since the scan began
				}
				if err := fn(conv, state); err != nil {
					return err
				}
			}
			return nil
		})
	})
}

// Escalations calls fn with each record that Tx.Escalation has put, by conversation and user; the record expires when fn returns. An error of fn ends it
// and is returned.
func (s *Store) Escalations(fn func(conv frame.ID, user string, record []byte) error) error {
	return s.read(func(db *pebble.DB) error {
		return scan(db, []byte{keyEscalation}, func(it *pebble.Iterator) error {
			for ok := it.First(); ok; ok = it.Next() {
				if len(it.Key()) < convKeyLen {
					return errDamaged
				}
				record, err := it.ValueAndErr()
				if err == nil {
					err = fn(frame.ID(it.Key()[1:convKeyLen]), string(it.Key()[convKeyLen:]), record)
				}
				if err != nil {
					return err
				}
			}
			return nil
		})
	})
}
