package history

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/switchyard-im/switchyard/frame"
)

// Hot is the store on the local disk. Of each conversation it holds the newest messages, at least the last one, without holes; what it no longer holds
// was shipped before. Its methods are sink.Store's.
type Hot interface {
	ReadAfter(dst []byte, conv frame.ID, after, upto uint64, maxCount, maxBytes int) (frames []byte, last uint64, count int, err error)
	ReadBefore(dst []byte, conv frame.ID, before uint64, maxCount, maxBytes int) (frames []byte, count int, more bool, err error)
}

// Cold is where older messages are.
type Cold interface {
	// PageAfter appends the oldest messages with after < seq < before to dst, in ascending order: at most maxCount, and no more than maxBytes but for the
	// first.
	PageAfter(ctx context.Context, dst []byte, conv frame.ID, after, before uint64, maxCount, maxBytes int) (frames []byte, count int, err error)
	// PageBefore appends the newest messages with seq < before to dst, in ascending order, within the same bounds; more tells whether older exist.
	PageBefore(ctx context.Context, dst []byte, conv frame.ID, before uint64, maxCount, maxBytes int) (frames []byte, count int, more bool, err error)
}

// Nowhere is the Cold of a store without a history: what the store has let go of is gone.
type Nowhere struct{}

// PageAfter is Cold's.
func (Nowhere) PageAfter(_ context.Context, dst []byte, _ frame.ID, _, _ uint64, _, _ int) ([]byte, int, error) {
	return dst, 0, nil
}

// PageBefore is Cold's.
func (Nowhere) PageBefore(_ context.Context, dst []byte, _ frame.ID, _ uint64, _, _ int) ([]byte, int, bool, error) {
	return dst, 0, false, nil
}

// ErrGone is what ReadAfter returns when messages are asked for that no tier has any more: the retention of the history is over for them, or they are among
// the dead letters.
var ErrGone = errors.New("history: messages are neither in the store nor in the history any more")

// PartialError is what ReadBefore returns, together with a valid page, when older messages belong into it and the history cannot be read now. The
// page is complete from the sequence From on.
type PartialError struct {
	From uint64
	Err  error
}

func (e *PartialError) Error() string {
	return fmt.Sprintf("history: messages before sequence %d cannot be read now: %v", e.From, e.Err)
}

func (e *PartialError) Unwrap() error { return e.Err }

// Reader reads conversations across both tiers as if they were one store. Safe for concurrent use; its methods block on the disk and on the
// network, so they are called by pools.
//
// A message is never in the cold tier alone before it has been shipped, and the hot tier lets go of nothing else. So the seam is where the hot tier
// begins: what is newer comes from it, and a reader sees its own writes; what is older comes from the cold one.
//
// The cold tier may hang, and those who call share their goroutines with readers of the hot one. So at most so many reads of it are under way as
// NewReader is told; one more fails at once with ErrBusy, and each ends after the timeout.
type Reader struct {
	hot     Hot
	cold    Cold
	slots   chan struct{} // one for each read of the cold tier
	timeout time.Duration
}

// ErrBusy is why a cold message cannot be read while too many are being read.
var ErrBusy = errors.New("history: too many old messages are being read; ask again")

// NewReader joins the tiers; reads is how many of the cold tier may be under way, timeout how long each may take.
func NewReader(hot Hot, cold Cold, reads int, timeout time.Duration) *Reader {
	return &Reader{hot: hot, cold: cold, slots: make(chan struct{}, reads), timeout: timeout}
}

// fromCold runs a read of the cold tier, and returns when it has ended, or its time is over. A read that does not end with its context, as one may that waits
// for a connection, is left behind, and keeps its slot until it ends.
func (r *Reader) fromCold(read func(context.Context) error) error {
	select {
	case r.slots <- struct{}{}:
	default:
		return ErrBusy
	}
	ctx, cancel := context.WithTimeout(context.Background(), r.timeout)
	ended := make(chan error, 1)
	go func() { // ends with the read, which ends with the connection at the latest
		err := read(ctx)
		<-r.slots
		ended <- err
		cancel()
	}()
	<-ctx.Done()
	select {
	case err := <-ended:
		return err
	default:
		return context.DeadlineExceeded
	}
}

// ReadAfter appends the messages with after < seq <= upto to dst in ascending order, within the bounds of Hot.ReadAfter. It leaves out nothing: where
// messages cannot be read it fails.
func (r *Reader) ReadAfter(dst []byte, conv frame.ID, after, upto uint64, maxCount, maxBytes int) (frames []byte, last uint64, count int, err error) {
	start := len(dst)
	dst, last, count, err = r.hot.ReadAfter(dst, conv, after, upto, maxCount, maxBytes)
	if err != nil || after >= upto {
		return dst, last, count, err
	}
	seam := upto + 1
	if count > 0 {
		first, err := firstMessage(dst[start:])
		if err != nil {
			return dst[:start], after, 0, err
		}
		if first.Prev <= after {
			return dst, last, count, nil
		}
		seam = first.Seq
	}
	return r.coldAfter(dst[:start], conv, after, seam, maxCount, maxBytes)
}

// coldAfter reads in front of the seam. What lies behind it is left to the next call.
func (r *Reader) coldAfter(dst []byte, conv frame.ID, after, seam uint64, maxCount, maxBytes int) (frames []byte, last uint64, count int, err error) {
	type page struct {
		frames []byte
		count  int
	}
	read := make(chan page, 1)
	err = r.fromCold(func(ctx context.Context) (err error) {
		var p page
		p.frames, p.count, err = r.cold.PageAfter(ctx, nil, conv, after, seam, max(maxCount, 1), maxBytes)
		read <- p
		return err
	})
	if err != nil {
		return dst, after, 0, err
	}
	p := <-read
	last, err = chained(p.frames, after)
	if err == nil && p.count == 0 {
		err = ErrGone
	}
	if err != nil {
		return dst, after, 0, fmt.Errorf("conversation %s, after sequence %d: %w", conv, after, err)
	}
	return append(dst, p.frames...), last, p.count, nil
}

// chained checks that each message follows the one before, the first one after, and returns the last one's sequence.
func chained(frames []byte, after uint64) (last uint64, err error) {
	for last = after; len(frames) > 0; {
		_, f, rest, err := frame.Next(frames)
		var m frame.Message
		if err == nil {
			err = m.Parse(f)
		}
		if err != nil {
			return after, err
		}
		if m.Prev > last {
			return after, ErrGone
		}
		last, frames = m.Seq, rest
	}
	return last, nil
}

func firstMessage(frames []byte) (m frame.Message, err error) {
	_, f, _, err := frame.Next(frames)
	if err == nil {
		err = m.Parse(f)
	}
	return m, err
}

// ReadBefore appends the newest messages with seq < before to dst in ascending order, within the bounds of Hot.ReadBefore; more tells whether
// older exist. With a *PartialError the rest of the answer is valid.
func (r *Reader) ReadBefore(dst []byte, conv frame.ID, before uint64, maxCount, maxBytes int) (frames []byte, count int, more bool, err error) {
	hot, count, more, err := r.hot.ReadBefore(nil, conv, before, maxCount, maxBytes)
	if err != nil {
		return dst, 0, false, err
	}
	seam := before
	if count > 0 {
		first, err := firstMessage(hot)
		if err != nil {
			return dst, 0, false, err
		}
		if first.Prev == 0 {
			return append(dst, hot...), count, false, nil
		}
		seam = first.Seq
	}
	room := max(maxCount, 1) - count
	if seam == 0 { // the hot tier has the last message of each conversation: there is none
		return dst, 0, false, nil
	}
	if more || seam == 1 || room == 0 || count > 0 && len(hot) >= maxBytes {
		return append(dst, hot...), count, seam > 1, nil
	}
	return r.coldBefore(dst, hot, count, conv, seam, room, maxBytes)
}

// coldBefore puts what is older than the seam in front of the hot part of a page.
func (r *Reader) coldBefore(dst, hot []byte, count int, conv frame.ID, seam uint64, room, maxBytes int) (frames []byte, total int, more bool, err error) {
	type page struct {
		frames []byte
		count  int
		more   bool
	}
	read := make(chan page, 1)
	err = r.fromCold(func(ctx context.Context) (err error) {
		var p page
		p.frames, p.count, p.more, err = r.cold.PageBefore(ctx, nil, conv, seam, room, maxBytes-len(hot))
		read <- p
		return err
	})
	if err != nil {
		return append(dst, hot...), count, true, &PartialError{From: seam, Err: err}
	}
	p := <-read
	if count > 0 && len(p.frames)+len(hot) > maxBytes { // the one that is always returned
		return append(dst, hot...), count, true, nil
	}
	return append(append(dst, p.frames...), hot...), p.count + count, p.more, nil
}
