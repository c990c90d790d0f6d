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
	began time.Time
	queue chan task
	wg    sync.WaitGroup
	stats *poolMetrics
}

// work is what may block. late is called instead of do when the deadline passed in the queue. One object for both: thousands are made in a storm
// of reconnects.
type work interface {
	do()
	late()
}

// task is work in the queue, in 24 bytes, since a storm fills queues of thousands and they stay resident.
type task struct {
	queued time.Duration // since the pool began
	work   work
}

// newPool registers the pool's metrics and starts the workers; close ends them.
func newPool(cfg PoolConfig, class string, reg prometheus.Registerer) (*pool, error) {
	p := &pool{cfg: cfg, began: time.Now(), queue: make(chan task, cfg.Queue)}
	var err error
	if p.stats, err = newPoolMetrics(reg, class, func() int { return len(p.queue) }); err != nil {
		return nil, fmt.Errorf("dispatch: register metrics: %w", err)
	}
	for range cfg.Workers {
		p.wg.Go(p.work)
	}
	return p, nil
}

// submit queues work; false: the queue is full and nothing will be done.
func (p *pool) submit(w work) bool {
	select {
	case p.queue <- task{queued: time.Since(p.began), work: w}:
		return true
	default:
		p.stats.refused.Inc()
		return false
	}
}

func (p *pool) work() {
	for t := range p.queue {
		waited := time.Since(p.began) - t.queued
		p.stats.wait.Observe(waited.Seconds())
		if waited > p.cfg.Deadline {
			p.stats.late.Inc()
			t.work.late()
			continue
		}
		t.work.do()
	}
}

// close finishes what is queued and ends the workers. Nothing may be submitted any more.
func (p *pool) close() {
	close(p.queue)
	p.wg.Wait()
}
