package notify

import (
	"context"
	"errors"
	"time"
)

// job is what an attempt is about: the first notices of a busy conversation. It runs on a goroutine of its own and touches nothing of the
// lane but what is fixed, and of the conversation only these items.
type job struct {
	lane  *lane
	conv  *conversation
	items []item
}

// verdict is what becomes of the notices of an outcome.
type verdict string

const (
	delivered verdict = "delivered"
	retried   verdict = "retried"
	dead      verdict = "dead"
	// unread: the store could not be read, so there was no attempt.
	unread verdict = "unread"
	// cancelled: it is not wanted any more.
	cancelled verdict = "cancelled"
)

// outcome is how an attempt ended, for the first notices of a busy conversation.
type outcome struct {
	conv    *conversation
	items   []item // the first ones of it; nobody changes them before release
	verdict verdict
	failure *failure // nil if it was delivered, or cancelled
	taken   time.Duration
	ended   []*Notification // of the items, as far as they were read

	// If they are retried.
	dueMS uint64
	tried int // 1: this counts as an attempt for each of them
	// attempts of the first, with this one.
	attempts int
	// If they are dead.
	letters []Letter
	full    bool // because the lane is full, without an attempt
}

// attempt sends what it can of the items.
func (j job) attempt(ctx context.Context) outcome {
	ctx, cancel := context.WithTimeout(ctx, j.lane.cfg.Timeout)
	defer cancel()
	batch, bad, err := j.load(ctx)
	switch {
	case err != nil:
		return j.unread(err)
	case bad != nil:
		return *bad
	case len(batch) == 0: // settled before, and the store failed before it could say so
		return outcome{conv: j.conv, items: j.items[:1], verdict: delivered}
	}
	start := time.Now()
	n, err := j.lane.channel.send(ctx, batch)
	o := outcome{conv: j.conv, items: j.items[:n], verdict: delivered, taken: time.Since(start)}
	for _, m := range batch[:n] {
		o.ended = append(o.ended, m.notification)
	}
	if err == nil {
		return o
	}
	j.failed(&o, batch, asFailure(err))
	return o
}

// failed decides what becomes of what was not delivered.
func (j job) failed(o *outcome, batch []message, f *failure) {
	o.failure, o.tried = f, 1
	o.attempts = j.items[0].attempts + 1
	if n := j.over(o.items, f); n > 0 {
		o.verdict, o.items, o.ended = dead, o.items[:n], o.ended[:n]
		for i, it := range o.items {
			o.letters = append(o.letters, j.lane.letter(batch[i].body, it.attempts+1, f))
		}
		return
	}
	o.verdict = retried
	wait := max(f.wait, backoff(j.lane.cfg.RetryMin, j.lane.cfg.RetryMax, o.attempts))
	o.dueMS = uint64(time.Now().Add(wait).UnixMilli())
}

// over is how many items, from the first on, are given up: all if they can never be sent, else those that were tried often enough. What is younger
// and went with them has attempts of its own.
func (j job) over(items []item, f *failure) (n int) {
	for n < len(items) && (f.final || items[n].attempts+1 >= j.lane.cfg.Attempts) {
		n++
	}
	return n
}

// load reads the notifications, as far as they are there and can be read; bad is the end of the first if it cannot.
func (j job) load(ctx context.Context) (batch []message, bad *outcome, err error) {
	for _, it := range j.items {
		body, ok, err := j.lane.queue.Body(nil, j.lane.cfg.Name, it.number)
		if err != nil {
			return nil, nil, err
		}
		if !ok {
			break
		}
		n, err := decode(body)
		if err != nil && len(batch) == 0 {
			return nil, j.broken(body, err), nil
		}
		if err != nil {
			break
		}
		m := message{notification: n, body: body}
		if end := j.resolve(ctx, &m); end != nil && len(batch) == 0 {
			return nil, end, nil
		} else if end != nil {
			break
		}
		batch = append(batch, m)
	}
	return batch, nil, nil
}

// resolve puts what is to be sent in the place of a notification. It returns how the first of a batch ends without being sent.
func (j job) resolve(ctx context.Context, m *message) *outcome {
	if j.lane.cfg.Resolve == nil {
		return nil
	}
	stored := *m
	end := &outcome{conv: j.conv, items: j.items[:1], verdict: cancelled, ended: []*Notification{stored.notification}}
	n, err := j.lane.cfg.Resolve(ctx, stored.notification)
	if err == nil && n == nil {
		return end
	}
	if err == nil {
		m.notification = n
		m.body, err = Encode(*n)
	}
	if err != nil {
		j.failed(end, []message{stored}, asFailure(err))
		return end
	}
	return nil
}

// broken is for bytes that are no notification.
func (j job) broken(body []byte, err error) *outcome {
	f := &failure{err: err, final: true}
	return &outcome{conv: j.conv, items: j.items[:1], verdict: dead, failure: f, letters: []Letter{j.lane.letter(body, j.items[0].attempts, f)}}
}

func (j job) unread(err error) outcome {
	it := j.items[0]
	return outcome{conv: j.conv, items: j.items[:1], verdict: unread, failure: &failure{err: err}, attempts: it.attempts, dueMS: uint64(time.Now().Add(time.Second).UnixMilli())}
}

// errFull is why what is too much becomes a dead letter.
var errFull = errors.New("notify: more waits for the endpoint than it may: see why it does not take what it gets")

// bury takes the first item out of a lane that is full.
func (j job) bury() outcome {
	body, ok, err := j.lane.queue.Body(nil, j.lane.cfg.Name, j.items[0].number)
	if err != nil {
		o := j.unread(err)
		o.full = true
		return o
	}
	o := outcome{conv: j.conv, items: j.items[:1], verdict: dead, full: true, failure: &failure{err: errFull}, attempts: j.items[0].attempts}
	if n, err := decode(body); ok && err == nil {
		o.ended = []*Notification{n}
	}
	if ok {
		o.letters = []Letter{j.lane.letter(body, o.attempts, o.failure)}
	}
	return o
}
