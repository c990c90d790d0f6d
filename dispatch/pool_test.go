package dispatch

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// TestPoolBounds: so many tasks run at a time, so many wait, the next is refused, and what waited past the deadline is not done.
func TestPoolBounds(t *testing.T) {
	for _, cfg := range []PoolConfig{
		{Workers: 1, Queue: 1, Deadline: time.Second},
		{Workers: 3, Queue: 5, Deadline: time.Second},
		{Workers: 3, Queue: 5, Deadline: 10 * time.Second},
	} {
		synctest.Test(t, func(t *testing.T) { testPool(t, cfg) })
	}
}

// slowWork takes two seconds.
type slowWork struct{ done, tooLate *atomic.Int32 }

func (w slowWork) do()   { time.Sleep(2 * time.Second); w.done.Add(1) }
func (w slowWork) late() { w.tooLate.Add(1) }

func testPool(t *testing.T, cfg PoolConfig) {
	p, err := newPool(cfg, "test", prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	var done, late atomic.Int32
	submitted := 0
	for p.submit(slowWork{&done, &late}) {
		submitted++
		synctest.Wait()
	}
	if submitted != cfg.Workers+cfg.Queue {
		t.Errorf("%+v: %d tasks were taken", cfg, submitted)
	}
	p.close()
	wantLate := 0
	if cfg.Deadline < 2*time.Second {
		wantLate = cfg.Queue
	}
	if int(late.Load()) != wantLate || int(done.Load()) != submitted-wantLate {
		t.Errorf("%+v: %d done, %d late", cfg, done.Load(), late.Load())
	}
}
