package notify

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/switchyard-im/switchyard/sink"
)

// What a lane holds in memory of what waits: 10,000 conversations, of each the first 64 notices; at most some 15 MB, and usually next to nothing.
const (
	planConvs   = 10_000
	planPerConv = 64
)

// readStep is how many notices are read from the store in one go.
const readStep = 1_000

// maxBurying is how many notices are taken out of a full lane at the same time; they are written to the dead letters together.
const maxBurying = 64

// maxEnded is how many outcomes may wait to be settled before nothing more is started.
const maxEnded = 1_000

// trip is how many failures in a row, that say something of the endpoint, make it count as away.
const trip = 5

// lane sends what one endpoint gets. One goroutine, run, owns its plan; attempts and the settling of their outcomes run beside it.
type lane struct {
	// Fixed after construction.
	cfg     Endpoint
	queue   Queue
	channel channel
	burial  burial
	metrics *endpointMetrics
	log     *slog.Logger
	status  *status

	outcomes chan outcome // from the attempts; as large as there can be attempts, so sending never waits
	settled  chan settled // from the settling, of which there is one at a time

	// Owned by run.
	plan     *plan
	sending  int    // attempts under way
	burying  int    // notices that are taken out because the lane is full
	leaving  uint64 // bytes of those
	ended    []outcome
	settling bool
	failures int       // in a row, of the endpoint
	pause    time.Time // nothing is sent before, because the endpoint is away or asked for it
	retry    time.Time // the store is not read before, because it failed
	buried   time.Time // nothing is taken out before, because the dead letters could not be written
}

func newLane(cfg Endpoint, q Queue, b burial, m *metrics, log *slog.Logger) (*lane, error) {
	c, err := newChannel(&cfg)
	if err != nil {
		return nil, err
	}
	return &lane{
		cfg: cfg, queue: q, channel: c, burial: b, metrics: m.endpoint(cfg.Name), log: log.With("endpoint", cfg.Name), status: &status{},
		outcomes: make(chan outcome, cfg.Workers+maxBurying),
		settled:  make(chan settled, 1),
		plan:     newPlan(planConvs, planPerConv),
	}, nil
}

// run sends until stop ends; then it waits for what is under way, until kill ends.
func (l *lane) run(stop, kill context.Context) {
	defer l.channel.close()
	var work sync.WaitGroup // attempts and settling; they end soon after kill
	defer work.Wait()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		if stop.Err() == nil {
			l.fill()
			l.startBurying(&work, kill)
			l.startSending(&work, kill)
		}
		l.startSettling(&work, kill)
		if stop.Err() != nil && l.sending+l.burying+len(l.ended) == 0 && !l.settling {
			return
		}
		timer.Reset(l.untilNext())
		if !l.wait(stop, kill, timer.C) {
			return
		}
	}
}

// wait waits until there is something to do, and takes it in; false after kill.
func (l *lane) wait(stop, kill context.Context, timer <-chan time.Time) bool {
	stopped := stop.Done()
	if stop.Err() != nil {
		stopped = nil
	}
	select {
	case <-l.queue.Signal(l.cfg.Name):
	case o := <-l.outcomes:
		l.take(o)
	case s := <-l.settled:
		l.settling = false
		l.release(s)
	case <-timer:
	case <-stopped:
	case <-kill.Done():
		return false
	}
	return true
}

// untilNext is how long there is nothing to do but what others tell.
func (l *lane) untilNext() time.Duration {
	wait, now := time.Hour, time.Now()
	if due, ok := l.plan.nextDue(); ok && l.mayStart() {
		wait = max(time.UnixMilli(int64(due)).Sub(now), l.pause.Sub(now))
	}
	for _, at := range []time.Time{l.retry, l.buried} {
		if at.After(now) {
			wait = min(wait, at.Sub(now))
		}
	}
	return max(0, wait)
}

// fill reads what is new, as far as there is room.
func (l *lane) fill() {
	now := time.Now()
	if now.Before(l.retry) {
		return
	}
	l.retry = time.Time{}
	for {
		read, room := 0, true
		err := l.queue.Read(l.cfg.Name, l.plan.cursor, func(n sink.Notice) bool {
			room = l.plan.add(n.Conv, l.itemOf(n, now))
			read++
			return room && read < readStep
		})
		if err != nil {
			l.storeFailed(err)
			return
		}
		if !room || read < readStep {
			return
		}
	}
}

// itemOf makes an item of a notice. What was put off is not put off for longer than it can be, whatever the clock did.
func (l *lane) itemOf(n sink.Notice, now time.Time) item {
	due := min(n.TimeMS, uint64(now.UnixMilli()))
	if n.NextMS != 0 {
		due = min(n.NextMS, uint64(now.Add(maxWait).UnixMilli()))
	}
	return item{number: n.Number, dueMS: due, attempts: n.Attempts, bytes: len(n.Body)}
}

func (l *lane) storeFailed(err error) {
	l.log.Warn("notify: the notifications cannot be read at present", "cause", err)
	l.retry = time.Now().Add(backoff(50*time.Millisecond, time.Second, 3))
}

// parallel is how many attempts there may be at the same time: one while the endpoint is away.
func (l *lane) parallel() int {
	if l.failures >= trip {
		return 1
	}
	return l.cfg.Workers
}

// mayStart tells whether there is a worker for an attempt.
func (l *lane) mayStart() bool { return l.sending < l.parallel() && len(l.ended) < maxEnded }

// startSending starts attempts for what is due, as far as there are workers. Each runs until it ends or kill does; run waits.
func (l *lane) startSending(work *sync.WaitGroup, kill context.Context) {
	now := time.Now()
	for l.mayStart() && !now.Before(l.pause) {
		c := l.plan.next(uint64(now.UnixMilli()))
		if c == nil {
			return
		}
		l.sending++
		j := job{lane: l, conv: c, items: c.items[:min(len(c.items), l.channel.most())]}
		work.Go(func() { l.outcomes <- j.attempt(kill) })
	}
}

// startBurying takes the oldest out of a lane that holds too much.
func (l *lane) startBurying(work *sync.WaitGroup, kill context.Context) {
	for l.burying < maxBurying && len(l.ended) < maxEnded && !time.Now().Before(l.buried) && l.queue.Waiting(l.cfg.Name).Bytes > uint64(l.cfg.MaxWaiting)+l.leaving {
		c := l.plan.oldest()
		if c == nil {
			return
		}
		l.burying++
		l.leaving += uint64(c.items[0].bytes)
		j := job{lane: l, conv: c, items: c.items[:1]}
		work.Go(func() { l.outcomes <- j.bury() })
	}
}
