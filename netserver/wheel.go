package netserver

// wheelSize is the number of ticks that the wheel spans; what is due later is looked at once a round.
const wheelSize = 128

// wheel holds every connection in the slot of the tick at which it should be looked at. A deadline that moves later (each
// input does that) costs nothing: the visit finds it in the future and puts the connection there. Owned by the loop.
type wheel struct {
	heads [wheelSize]*Conn
	now   int32 // the last tick that began
}

// add puts a connection that is in no slot at the given tick, at the earliest the next one.
func (w *wheel) add(c *Conn, due int32) {
	due = min(max(due, w.now+1), w.now+wheelSize-1)
	head := &w.heads[due%wheelSize]
	c.due, c.prev, c.next = due, nil, *head
	if c.next != nil {
		c.next.prev = c
	}
	*head = c
}

// remove takes a connection out of its slot.
func (w *wheel) remove(c *Conn) {
	if c.next != nil {
		c.next.prev = c.prev
	}
	if c.prev != nil {
		c.prev.next = c.next
	} else {
		w.heads[c.due%wheelSize] = c.next
	}
	c.prev, c.next = nil, nil
}

// hasten moves a connection to an earlier tick, and leaves it if it is visited before that anyway.
func (w *wheel) hasten(c *Conn, due int32) {
	if due < c.due {
		w.remove(c)
		w.add(c, due)
	}
}

// tick begins the next tick. What hung in the slot of the one before has been taken.
func (w *wheel) tick() { w.now++ }

// take takes a connection out of the slot of this tick, nil if none is left. The caller adds it again or not.
func (w *wheel) take() *Conn {
	c := w.heads[w.now%wheelSize]
	if c != nil {
		w.remove(c)
	}
	return c
}
