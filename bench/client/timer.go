package client

// Timer calls a function on its loop at a time. Owned by the loop that armed it; arming again moves it. The zero Timer is not usable:
// set Fire once, before the first Arm.
type Timer struct {
	Fire func() // called with the timer disarmed

	at  int64
	pos int // index in the heap plus one; zero: not armed
}

// Armed tells whether the timer is going to fire.
func (t *Timer) Armed() bool { return t.pos != 0 }

// timerHeap is a binary heap of armed timers by time. It is written out because container/heap allocates on Push.
type timerHeap []*Timer

func (h *timerHeap) arm(t *Timer, at int64) {
	t.at = at
	if t.pos == 0 {
		*h = append(*h, t)
		t.pos = len(*h)
	}
	h.down(h.up(t.pos - 1))
}

func (h *timerHeap) disarm(t *Timer) {
	if t.pos == 0 {
		return
	}
	i, last := t.pos-1, len(*h)-1
	h.swap(i, last)
	*h = (*h)[:last]
	t.pos = 0
	if i < last {
		h.down(h.up(i))
	}
}

// next returns when the first timer is due; ok is false if none is armed.
func (h timerHeap) next() (at int64, ok bool) {
	if len(h) == 0 {
		return 0, false
	}
	return h[0].at, true
}

func (h timerHeap) swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].pos, h[j].pos = i+1, j+1
}

func (h timerHeap) up(i int) int {
	for i > 0 {
		parent := (i - 1) / 2
		if h[parent].at <= h[i].at {
			break
		}
		h.swap(i, parent)
		i = parent
	}
	return i
}

func (h timerHeap) down(i int) {
	for {
		least := i
		for child := 2*i + 1; child <= 2*i+2 && child < len(h); child++ {
			if h[child].at < h[least].at {
				least = child
			}
		}
		if least == i {
			return
		}
		h.swap(i, least)
		i = least
	}
}
