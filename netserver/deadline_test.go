package netserver

import (
	"testing"
	"time"
)

// TestDeadlinesAreVisitedInBatches has many connections due at the same tick, while the mailbox is full and while it is not.
func TestDeadlinesAreVisitedInBatches(t *testing.T) {
	const many = 3*visitBatch + 7
	l := stoppedLoop(t, Config{Raw: true, HandshakeTimeout: 3 * time.Second}, &testHandler{})
	for range many {
		pair(t, l)
	}
	visited := func() int { return int(l.n.closed[ReasonHandshakeTimeout]) }
	turn := func(want int) {
		t.Helper()
		_ = l.onMailbox(nil)
		if visited() != want {
			t.Fatalf("%d were visited, want %d", visited(), want)
		}
	}
	l.elapsed = 4
	l.visitDue()
	if visited() != visitBatch || !l.visiting || l.elapsed != 1 {
		t.Fatalf("%d were visited in the first turn, and %d ticks wait", visited(), l.elapsed)
	}
	turn(2 * visitBatch)
	l.box.tasks = make([]task, maxTasks) // full
	for i := range l.box.tasks {
		l.box.tasks[i].run = func() {}
	}
	l.box.some.Store(false) // its tasks are not run
	l.visitDue()
	if visited() != 3*visitBatch || l.visiting {
		t.Fatalf("%d were visited with a full mailbox, a task goes on: %v", visited(), l.visiting)
	}
	l.box.tasks = nil
	l.visitDue() // as the next tick does
	if visited() != many || l.visiting || l.elapsed != 0 {
		t.Errorf("%d of %d were visited, %d ticks wait", visited(), many, l.elapsed)
	}
	l.end()
	if err := l.check(); err != nil {
		t.Error(err)
	}
}
