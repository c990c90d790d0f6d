package dispatch

import (
	"fmt"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// pool is a bulkhead: one class of work that may block, with its own workers and queue, so that it never starves another class. A full
// queue refuses at once, and a task that waited past the deadline is not begun any more: its client has given up.
type pool struct {
	cfg   PoolConfig
	queue chan task
	wg    sync.WaitGroup
	stats *poolMetrics
}

// task is work that may block. late runs instead of do when the deadline passed in the queue.
type task struct {
	queued time.Time
	do     func()
	late   func()
}

// newPool registers the pool's metrics and starts the workers; close ends them.
func newPool(cfg PoolConfig, class string, reg prometheus.Registerer) (*pool, error) {
	p := &pool{cfg: cfg, queue: make(chan task, cfg.Queue)}
	var err error
	if p.stats, err = newPoolMetrics(reg, class, func() int { return len(p.queue) }); err != nil {
		return nil, fmt.Errorf("dispatch: register metrics: %w", err)
	}
	for range cfg.Workers {
		p.wg.Go(p.work)
	}
	return p, nil
}

// submit queues a task; false: the queue is full and nothing will be done.
func (p *pool) submit(do, late func()) bool {
	select {
	case p.queue <- task{queued: time.Now(), do: do, late: late}:
		return true
	default:
		p.stats.refused.Inc()
		return false
	}
}

func (p *pool) work() {
	for t := range p.queue {
		waited := time.Since(t.queued)
		p.stats.wait.Observe(waited.Seconds())
		if waited > p.cfg.Deadline {
			p.stats.late.Inc()
			t.late()
			continue
		}
		t.do()
	}
}

// close finishes what is queued and ends the workers. Nothing may be submitted any more.
func (p *pool) close() {
	close(p.queue)
	p.wg.Wait()
}
