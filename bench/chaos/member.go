package chaos

import "time"

// Member is one scenario of a run, of which there may be several at a time. Its methods belong to the scenario's goroutine; they do nothing for nil.
type Member struct {
	run *Run
	cut func(share float64) int

	// Guarded by run.mu.
	cuts     []*outage // to be done at the next look
	looked   time.Time // the last look
	offline  int
	accepted int64
}

// Join makes a scenario a victim; with the first one the trouble begins. Cut resets a share of the scenario's connections and returns how
// many; it is called from inside of Look.
func (r *Run) Join(cut func(share float64) int) *Member {
	if r == nil {
		return nil
	}
	m := &Member{run: r, cut: cut}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.members[m] = true
	if len(r.members) == 1 {
		r.begin()
	}
	return m
}

// Leave ends the scenario's part. When the last leaves, no more trouble begins, and what is under way ends: then the server is there and goes on.
func (m *Member) Leave() error {
	if m == nil {
		return nil
	}
	r := m.run
	r.mu.Lock()
	delete(r.members, m)
	for _, o := range m.cuts { // which now never are
		o.waiting--
	}
	last := len(r.members) == 0
	r.mu.Unlock()
	if last {
		r.stop()
		r.work.Wait()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.failed
}

// Look tells how many of the scenario's clients are away that should be there, and how many messages were accepted since the run began. It does what is to be
// done to the clients. The error is a server that does not come back, which nothing can go on without.
func (m *Member) Look(offline int, accepted int64) error {
	if m == nil {
		return nil
	}
	r := m.run
	r.mu.Lock()
	m.offline, m.accepted, m.looked = offline, accepted, time.Now()
	r.recoverLocked(m.looked)
	cuts, failed := m.cuts, r.failed
	m.cuts = nil
	r.mu.Unlock()
	for _, o := range cuts {
		m.sever(o)
	}
	return failed
}

// sever does the member's part of a cut.
func (m *Member) sever(o *outage) {
	n := m.cut(m.run.cfg.Plan.Cut.Share)
	r := m.run
	r.mu.Lock()
	defer r.mu.Unlock()
	o.Connections += n
	r.journal.cut += int64(n)
	o.waiting--
	if o.waiting == 0 {
		o.ended = time.Now()
	}
	r.say("%d connections were cut", n)
}
