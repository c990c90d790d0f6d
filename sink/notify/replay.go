package notify

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/switchyard-im/switchyard/sink"
)

// Replayed tells what became of the dead letters.
type Replayed struct {
	Queued int // that wait to be sent again
	Kept   int // lines that are dead letters still
}

// replayStep is how many notifications are put into the store, or letters written, together.
const replayStep = 256

// Replay puts what is in the file of dead letters back into the lanes of its endpoints, behind what waits there. What is no notification, or for an
// endpoint that is not configured, stays. It may run beside Run, and a second time after it was interrupted; then some may be sent twice.
func (n *Notifier) Replay(ctx context.Context) (Replayed, error) {
	n.replaying.Lock()
	defer n.replaying.Unlock()
	taken, err := n.burial.file.Take()
	if taken == "" || err != nil {
		return Replayed{}, err
	}
	r := replay{notifier: n, waiting: map[string][]sink.Notice{}}
	err = n.burial.file.Each(taken, func(l Letter, broken []byte) error { return r.letter(ctx, l, broken) })
	if err == nil {
		err = r.flush(ctx)
	}
	if err != nil {
		return r.done, fmt.Errorf("%w (the dead letters are in %s; replay them again)", err, taken)
	}
	return r.done, n.burial.file.Finish(taken)
}

// replay is one run. Owned by one goroutine.
type replay struct {
	notifier *Notifier
	waiting  map[string][]sink.Notice // by lane, not put yet
	kept     []Letter                 // not written yet
	done     Replayed
}

func (r *replay) letter(ctx context.Context, l Letter, broken []byte) error {
	if broken != nil {
		return r.keep(newLetter("", broken, 0, errors.New("notify: this line is not a dead letter")))
	}
	notice, err := r.notice(l)
	if err != nil {
		l.Error = err.Error()
		return r.keep(l)
	}
	if r.waiting[l.Endpoint] = append(r.waiting[l.Endpoint], notice); len(r.waiting[l.Endpoint]) == replayStep {
		return r.put(ctx, l.Endpoint)
	}
	return nil
}

func (r *replay) keep(l Letter) error {
	r.done.Kept++
	if r.kept = append(r.kept, l); len(r.kept) < replayStep {
		return nil
	}
	return r.buryKept()
}

func (r *replay) buryKept() error {
	err := r.notifier.burial.bury(r.kept)
	r.kept = r.kept[:0]
	return err
}

// notice makes a notice of a letter, which somebody may have written by hand.
func (r *replay) notice(l Letter) (sink.Notice, error) {
	if !r.notifier.Has(l.Endpoint) {
		return sink.Notice{}, fmt.Errorf("notify: there is no endpoint %q: configure it", l.Endpoint)
	}
	if l.Notification == nil {
		return sink.Notice{}, errors.New("notify: these bytes are not a notification")
	}
	var n Notification
	if err := json.Unmarshal(l.Notification, &n); err != nil {
		return sink.Notice{}, fmt.Errorf("notify: this is not a notification: %w", err)
	}
	body, err := Encode(n)
	if err != nil {
		return sink.Notice{}, err
	}
	conv, err := n.conversation()
	return sink.Notice{Conv: conv, Body: body}, err
}

func (r *replay) flush(ctx context.Context) error {
	for lane := range r.waiting {
		if err := r.put(ctx, lane); err != nil {
			return err
		}
	}
	return r.buryKept()
}

func (r *replay) put(ctx context.Context, lane string) error {
	if err := r.notifier.queue.Put(ctx, lane, r.waiting[lane]...); err != nil {
		return err
	}
	r.done.Queued += len(r.waiting[lane])
	r.waiting[lane] = r.waiting[lane][:0]
	return nil
}
