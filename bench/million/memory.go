package million

import (
	"fmt"
	"time"
)

// lackLasts is how long nothing is opened after the kernel had no memory for a connection.
const lackLasts = time.Second

// memory is what a run knows of the memory that is left. Owned by the goroutine of Run.
type memory struct {
	paused bool      // the workers are, because memory is short
	from   time.Time // when they were paused
	waited time.Duration
	since  time.Time // when it was first short with so many open
	open   int       // then
	why    string    // what the kernel refused last
	until  time.Time
}

// watchMemory pauses the workers while memory is short, and has them stop for good when it stays so.
func (r *run) watchMemory() error {
	m := &r.memory
	why, err := r.lack()
	if err != nil || r.short != "" {
		return err
	}
	switch {
	case why != "" && !m.paused:
		m.paused, m.from = true, time.Now()
		r.orderOpening(orderPause)
	case why == "" && m.paused:
		m.paused, m.waited = false, m.waited+time.Since(m.from)
		r.orderOpening(orderOpen)
	}
	switch {
	case !m.paused:
	case m.since.IsZero() || r.opened() > m.open:
		m.since, m.open = time.Now(), r.opened()
	case time.Since(m.since) >= r.cfg.Patience:
		r.short = fmt.Sprintf("stopped at %d of %d, because %s for %s: free memory, ask for fewer connections (--conns), or leave less to the machine (--min-free-mb)",
			r.opened(), r.cfg.Conns, why, r.cfg.Patience)
		m.waited += time.Since(m.from)
		r.orderOpening(orderStop)
	}
	return nil
}

// lack tells why no connections can be opened now; empty: they can.
func (r *run) lack() (string, error) {
	free, err := r.cfg.available()
	if err != nil {
		return "", err
	}
	if free < r.cfg.MinFree {
		return fmt.Sprintf("less than %.1f GB of memory were left", float64(r.cfg.MinFree)/1e9), nil
	}
	for _, w := range r.workers {
		if why := w.lack.Swap(nil); why != nil {
			r.memory.why, r.memory.until = "the kernel had no memory for connections ("+*why+")", time.Now().Add(lackLasts)
		}
	}
	if time.Now().Before(r.memory.until) {
		return r.memory.why, nil
	}
	return "", nil
}

// orderOpening orders those who were told to open.
func (r *run) orderOpening(order byte) {
	for _, w := range r.workers {
		if w.told {
			w.order(order)
		}
	}
}
