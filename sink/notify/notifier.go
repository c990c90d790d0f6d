package notify

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/switchyard-im/switchyard/sink"
)

// Notifier sends what waits in the lanes of its endpoints. There may be one for a queue. Run does the work; the other methods may be called from any
// goroutine.
type Notifier struct {
	// Fixed after construction.
	cfg     Config
	queue   Queue
	burial  burial
	lanes   []*lane
	metrics *metrics

	replaying sync.Mutex // held by Replay
}

// New makes a notifier, which must be run. It fails with the remedy in the error's text if the configuration is no good.
func New(cfg Config, q Queue) (*Notifier, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	b, err := newBurial(cfg.DeadLetters)
	if err != nil {
		return nil, err
	}
	n := &Notifier{cfg: cfg, queue: q, burial: b, metrics: newMetrics(cfg.Registerer)}
	var errs []error
	for _, e := range cfg.Endpoints {
		l, err := newLane(e, q, b, n.metrics, cfg.Logger)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		n.lanes = append(n.lanes, l)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return n, n.metrics.register(n.lanes)
}

// Has tells whether there is an endpoint with this name.
func (n *Notifier) Has(endpoint string) bool {
	return slices.ContainsFunc(n.lanes, func(l *lane) bool { return l.cfg.Name == endpoint })
}

// Run sends until ctx ends, and then waits up to StopTimeout for what is being sent. What was not sent waits for the next Run. Nothing but the end
// of ctx ends it.
func (n *Notifier) Run(ctx context.Context) {
	defer n.metrics.unregister()
	kill, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	stop := context.AfterFunc(ctx, func() { time.AfterFunc(n.cfg.StopTimeout, cancel) })
	defer stop()
	var wait sync.WaitGroup
	for _, l := range n.lanes {
		wait.Go(func() { l.run(ctx, kill) }) // until ctx ends; waited for below
	}
	wait.Go(func() { n.clearStrays(ctx) })
	wait.Wait()
}

// clearStrays puts what waits for endpoints that are not configured any more into the dead letters, so that it can be replayed when they are again.
func (n *Notifier) clearStrays(ctx context.Context) {
	for _, lane := range n.queue.Lanes() {
		for failed := 1; !n.Has(lane) && ctx.Err() == nil && n.queue.Waiting(lane).Notices > 0; {
			err := n.clearSome(ctx, lane)
			if err == nil {
				failed = 1
				continue
			}
			n.cfg.Logger.Warn("notify: what waits for an endpoint that is not configured cannot be put into the dead letters", "endpoint", lane, "cause", err)
			select {
			case <-time.After(backoff(time.Second, time.Minute, failed)):
				failed++
			case <-ctx.Done():
			}
		}
	}
}

var errStray = errors.New("notify: the endpoint is not configured any more")

func (n *Notifier) clearSome(ctx context.Context, lane string) error {
	var letters []Letter
	var settlements []sink.Settlement
	err := n.queue.Read(lane, 0, func(notice sink.Notice) bool {
		letters = append(letters, newLetter(lane, slices.Clone(notice.Body), notice.Attempts, errStray))
		settlements = append(settlements, sink.Settlement{Number: notice.Number, Done: true})
		return len(letters) < maxBurying
	})
	if err != nil {
		return err
	}
	if err := n.burial.bury(letters); err != nil {
		return err
	}
	n.cfg.Logger.Error("notify: notifications for an endpoint that is not configured went to the dead letters", "endpoint", lane, "notifications", len(letters),
		"file", n.burial.file.Path, "remedy", "configure it and replay them")
	return n.queue.Settle(ctx, lane, settlements)
}
