package history

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/switchyard-im/switchyard/frame"
)

// plain is a tier as a list of messages; the obvious way to answer.
type plain struct {
	messages []frame.Message
	away     bool
}

var errAway = errors.New("away")

func (p *plain) between(after, before uint64) (found []frame.Message) {
	for _, m := range p.messages {
		if m.Seq > after && (before == 0 || m.Seq < before) {
			found = append(found, m)
		}
	}
	return found
}

// take encodes messages while they fit, the first always.
func take(messages []frame.Message, maxCount, maxBytes int) (taken []frame.Message) {
	size := 0
	for _, m := range messages {
		size += len(m.Append(nil))
		if len(taken) == maxCount || len(taken) > 0 && size > maxBytes {
			break
		}
		taken = append(taken, m)
	}
	return taken
}

func encode(dst []byte, messages []frame.Message) []byte {
	for _, m := range messages {
		dst = m.Append(dst)
	}
	return dst
}

func (p *plain) ReadAfter(dst []byte, _ frame.ID, after, upto uint64, maxCount, maxBytes int) ([]byte, uint64, int, error) {
	got := take(p.between(after, upto+1), max(maxCount, 1), maxBytes)
	last := after
	if len(got) > 0 {
		last = got[len(got)-1].Seq
	}
	return encode(dst, got), last, len(got), nil
}

func (p *plain) ReadBefore(dst []byte, _ frame.ID, before uint64, maxCount, maxBytes int) ([]byte, int, bool, error) {
	all := p.between(0, before)
	slices.Reverse(all)
	got := take(all, max(maxCount, 1), maxBytes)
	slices.Reverse(got)
	return encode(dst, got), len(got), len(got) < len(all), nil
}

func (p *plain) PageAfter(_ context.Context, dst []byte, conv frame.ID, after, before uint64, maxCount, maxBytes int) ([]byte, int, error) {
	if p.away {
		return dst, 0, errAway
	}
	frames, _, count, err := p.ReadAfter(dst, conv, after, before-1, maxCount, maxBytes)
	return frames, count, err
}

func (p *plain) PageBefore(_ context.Context, dst []byte, conv frame.ID, before uint64, maxCount, maxBytes int) ([]byte, int, bool, error) {
	if p.away {
		return dst, 0, false, errAway
	}
	return p.ReadBefore(dst, conv, before, maxCount, maxBytes)
}

// tiers are a conversation of n messages in two tiers that overlap: hot has those from trimmed on, cold those up to shipped.
func tiers(n, trimmed, shipped int) (all *plain, hot, cold *plain, r *Reader) {
	all = &plain{}
	for i := range n {
		seq := uint64(i + 1)
		all.messages = append(all.messages, frame.Message{Conv: frame.ID{1}, Seq: seq, Prev: seq - 1, Body: frame.AppendText(nil, string(make([]byte, i%7)))})
	}
	hot, cold = &plain{messages: all.messages[trimmed:]}, &plain{messages: all.messages[:shipped]}
	return all, hot, cold, NewReader(hot, cold, 1, time.Second)
}

// TestPagesOverTheSeam reads from both ends with random bounds, wherever the seam lies: what is put together is the conversation.
func TestPagesOverTheSeam(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	for range 2000 {
		n := 1 + rnd.IntN(20)
		trimmed := rnd.IntN(n)
		all, _, _, r := tiers(n, trimmed, trimmed+rnd.IntN(n-trimmed+1))
		want := encode(nil, all.messages)
		maxCount, maxBytes := 1+rnd.IntN(6), 1+rnd.IntN(200)
		var got []byte
		for at := uint64(0); at < uint64(n); {
			frames, last, count, err := r.ReadAfter([]byte("x"), frame.ID{1}, at, uint64(n), maxCount, maxBytes)
			if err != nil || count == 0 || count > maxCount || last != at+uint64(count) {
				t.Fatalf("after %d of %d, trimmed %d: %d messages up to %d, %v", at, n, trimmed, count, last, err)
			}
			got, at = append(got, frames[1:]...), last
		}
		if !bytes.Equal(got, want) {
			t.Fatalf("forwards, %d messages, trimmed %d, %d at a time: another conversation", n, trimmed, maxCount)
		}
		got = nil
		for at, more := uint64(n+1), true; more; {
			var frames []byte
			var count int
			var err error
			frames, count, more, err = r.ReadBefore([]byte("x"), frame.ID{1}, at, maxCount, maxBytes)
			if err != nil || count == 0 || count > maxCount || more != (at-uint64(count) > 1) {
				t.Fatalf("before %d of %d, trimmed %d: %d messages, more %v, %v", at, n, trimmed, count, more, err)
			}
			got, at = append(bytes.Clone(frames[1:]), got...), at-uint64(count)
		}
		if !bytes.Equal(got, want) {
			t.Fatalf("backwards, %d messages, trimmed %d, %d at a time: another conversation", n, trimmed, maxCount)
		}
	}
}

// TestColdTierAway: what is hot is answered, and nothing is left out in silence.
func TestColdTierAway(t *testing.T) {
	_, _, cold, r := tiers(10, 6, 8)
	cold.away = true
	frames, count, more, err := r.ReadBefore(nil, frame.ID{1}, 10, 5, 1<<20)
	var partial *PartialError
	if !errors.As(err, &partial) || partial.From != 7 || !errors.Is(err, errAway) || count != 3 || !more || len(frames) == 0 {
		t.Errorf("%d messages, more %v, %v", count, more, err)
	}
	if _, count, more, err := r.ReadBefore(nil, frame.ID{1}, 7, 5, 1<<20); !errors.As(err, &partial) || partial.From != 7 || count != 0 || !more {
		t.Errorf("below the seam: %d messages, more %v, %v", count, more, err)
	}
	if _, count, _, err := r.ReadBefore(nil, frame.ID{1}, 11, 4, 1<<20); err != nil || count != 4 {
		t.Errorf("a page that the hot tier fills: %d messages, %v", count, err)
	}
	if _, last, count, err := r.ReadAfter(nil, frame.ID{1}, 6, 10, 9, 1<<20); err != nil || count != 4 || last != 10 {
		t.Errorf("after the seam: %d messages up to %d, %v", count, last, err)
	}
	if _, last, count, err := r.ReadAfter(nil, frame.ID{1}, 5, 10, 9, 1<<20); !errors.Is(err, errAway) || count != 0 || last != 5 {
		t.Errorf("over the seam: %d messages up to %d, %v", count, last, err)
	}
}

// TestGoneMessages: what no tier has is an error for those who need every message.
func TestGoneMessages(t *testing.T) {
	_, _, cold, r := tiers(10, 6, 8)
	cold.messages = slices.Delete(slices.Clone(cold.messages), 2, 4)
	if _, _, count, err := r.ReadAfter(nil, frame.ID{1}, 1, 10, 9, 1<<20); !errors.Is(err, ErrGone) || count != 0 {
		t.Errorf("%d messages, %v", count, err)
	}
	cold.messages = nil
	if _, _, _, err := r.ReadAfter(nil, frame.ID{1}, 1, 10, 9, 1<<20); !errors.Is(err, ErrGone) {
		t.Errorf("nothing is left: %v", err)
	}
	if _, count, more, err := r.ReadBefore(nil, frame.ID{1}, 10, 9, 1<<20); err != nil || count != 3 || more {
		t.Errorf("a page: %d messages, more %v, %v", count, more, err)
	}
}

// stuckTier takes reads and ends them with their context.
type stuckTier struct {
	*plain
	begun chan struct{}
}

func (s stuckTier) PageBefore(ctx context.Context, dst []byte, _ frame.ID, _ uint64, _, _ int) ([]byte, int, bool, error) {
	s.begun <- struct{}{}
	<-ctx.Done()
	return dst, 0, false, ctx.Err()
}

// TestHangingColdTier: only so many callers wait for it as are allowed to, and those not for ever. All others go on.
func TestHangingColdTier(t *testing.T) {
	_, hot, cold, _ := tiers(10, 6, 8)
	stuck := stuckTier{cold, make(chan struct{}, 1)}
	r := NewReader(hot, stuck, 1, 300*time.Millisecond)
	first := make(chan error)
	go func() { // ends with the timeout, awaited below
		_, _, _, err := r.ReadBefore(nil, frame.ID{1}, 7, 5, 1<<20)
		first <- err
	}()
	<-stuck.begun
	var partial *PartialError
	if _, count, _, err := r.ReadBefore(nil, frame.ID{1}, 10, 5, 1<<20); !errors.Is(err, ErrBusy) || !errors.As(err, &partial) || count != 3 {
		t.Errorf("while one waits: %d messages, %v", count, err)
	}
	if _, _, _, err := r.ReadAfter(nil, frame.ID{1}, 2, 10, 5, 1<<20); !errors.Is(err, ErrBusy) {
		t.Errorf("a replay while one waits: %v", err)
	}
	if _, _, count, err := r.ReadAfter(nil, frame.ID{1}, 7, 10, 5, 1<<20); err != nil || count != 3 {
		t.Errorf("a hot read while one waits: %d, %v", count, err)
	}
	if err := <-first; !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("the one that waits: %v", err)
	}
	for { // the read that was left behind ends in a moment, and then its slot is free
		_, _, count, err := r.ReadAfter(nil, frame.ID{1}, 2, 10, 5, 1<<20)
		if errors.Is(err, ErrBusy) {
			time.Sleep(time.Millisecond)
			continue
		}
		if err != nil || count != 4 {
			t.Errorf("after it: %d, %v", count, err)
		}
		return
	}
}

// TestNowhere: without a history, what the store has let go of is gone, and is not left out in silence.
func TestNowhere(t *testing.T) {
	_, hot, _, _ := tiers(10, 6, 6)
	r := NewReader(hot, Nowhere{}, 1, time.Second)
	if _, _, _, err := r.ReadAfter(nil, frame.ID{1}, 3, 10, 9, 1<<20); !errors.Is(err, ErrGone) {
		t.Errorf("a replay: %v", err)
	}
	if _, count, more, err := r.ReadBefore(nil, frame.ID{1}, 10, 9, 1<<20); err != nil || count != 3 || more {
		t.Errorf("a page: %d messages, more %v, %v", count, more, err)
	}
}
