package netserver

// trimTicks is how often a loop looks for memory that it keeps for nothing.
const trimTicks = 4

// Scratch that fits is kept for ever.
const (
	idleSegments = 1 << 10
	idleTasks    = 1 << 8
)

// trim gives to the collector what a burst left behind: buffers that nobody used since the last time, and scratch space that grew. Under a steady
// load scratch space grows again at once, which is one allocation in trimTicks. In the timer's turn.
func (l *loop) trim() {
	if l.wheel.now-l.trimmed < trimTicks {
		return
	}
	l.trimmed = l.wheel.now
	l.pool.trim()
	l.writer.trim()
	if cap(l.tasks) > idleTasks {
		l.tasks = nil
	}
	if cap(l.leaving) > idleSegments {
		l.leaving = nil
	}
	if t, ok := l.handler.(Trimmer); ok {
		t.Trim(l.index)
	}
}

// trim makes the writer as small as init did; nothing is staged.
func (w *writer) trim() {
	if cap(w.arena) > writeBuffer {
		w.arena = make([]byte, 0, writeBuffer)
	}
	if cap(w.segments) > idleSegments {
		w.segments, w.staged = nil, nil
	}
	for _, b := range []*[]byte{&w.gathered, &w.toJSON, &w.fromJSON} {
		if cap(*b) > writeBuffer {
			*b = nil
		}
	}
}
