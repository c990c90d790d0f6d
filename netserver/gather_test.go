package netserver

import (
	"testing"
	"time"

	"github.com/gobwas/ws"
)

// TestGathererCounts: a loop is busy from the fourth message of an interval on, and through the next interval; then it has to be busy again.
func TestGathererCounts(t *testing.T) {
	g := gatherer{every: time.Millisecond}
	total := uint64(0)
	for i, step := range []struct {
		at   time.Duration
		more uint64
		busy bool
	}{
		{100 * time.Microsecond, 3, false},
		{200 * time.Microsecond, 1, true},
		{300 * time.Microsecond, 0, false}, // a turn without messages
		{1100 * time.Microsecond, 1, true}, // four came in the interval before
		{2100 * time.Microsecond, 1, false},
		{3100 * time.Microsecond, 4, true},
		{5100 * time.Microsecond, 1, false}, // nothing came in between
		{5999 * time.Microsecond, 5, true},
	} {
		total += step.more
		if busy := g.busy(step.at, total); busy != step.busy {
			t.Errorf("step %d: busy is %v", i, busy)
		}
	}
}

func TestGathererEndsOnTheInstantsOfAll(t *testing.T) {
	g := gatherer{every: time.Millisecond}
	for now, want := range map[time.Duration]time.Duration{
		0:                       time.Millisecond,
		time.Millisecond - 1:    time.Millisecond,
		time.Millisecond:        2 * time.Millisecond,
		1700 * time.Microsecond: 2 * time.Millisecond,
	} {
		if got := g.end(now); got != want {
			t.Errorf("the interval of %v ends at %v, want %v", now, got, want)
		}
	}
}

// TestInputGathers: on a loop that has just read much, other goroutines are served while a message waits in the kernel, which is read after all.
// Without the option, or on a loop that has read little, one task may overtake a message that came with it, but not three.
func TestInputGathers(t *testing.T) {
	for _, tc := range []struct {
		name     string
		gather   time.Duration
		before   int // messages
		attempts int // an interval may end at any moment
		want     bool
	}{
		{"never", 0, leastGathered, 20, false},
		{"busy", 100 * time.Millisecond, leastGathered, 20, true},
		{"not busy", 100 * time.Millisecond, leastGathered - 2, 1, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := serve(t, Config{Raw: true, Gather: tc.gather}, Echo{})
			c := open(t, s)
			overtaken := false
			for n := 0; n < tc.attempts && !overtaken; n++ {
				overtaken = tasksOvertake(t, s.loops[0], c, tc.before)
			}
			if overtaken != tc.want {
				t.Errorf("three tasks overtook a message: %v", overtaken)
			}
		})
	}
}

// tasksOvertake tells whether three tasks, one after the other, are run before a message that was sent earlier is read.
func tasksOvertake(t *testing.T, l *loop, c *client, messagesBefore int) bool {
	t.Helper()
	echo := func(n int) {
		for range n {
			c.expect(ws.OpBinary, "x")
		}
	}
	for range messagesBefore {
		c.send(binaryOf("x"))
	}
	echo(messagesBefore)
	var before, after uint64
	onLoop(t, l, func() { before = l.n.messagesIn })
	c.send(binaryOf("x"))
	for range 3 {
		onLoop(t, l, func() { after = l.n.messagesIn })
	}
	echo(1)
	return after == before
}

func TestGatheringDoesNotAllocate(t *testing.T) {
	l := stoppedLoop(t, Config{Raw: true, Gather: 200 * time.Microsecond}, Echo{})
	slept := time.Duration(0)
	n := testing.AllocsPerRun(100, func() {
		l.n.messagesIn += leastGathered
		start := time.Now()
		l.gather()
		slept += time.Since(start)
	})
	if n != 0 {
		t.Errorf("a turn that lets input gather allocates %v times", n)
	}
	if slept < 5*time.Millisecond {
		t.Errorf("101 times gathering took %v, so it did not wait", slept)
	}
}
