package netserver

import "github.com/switchyard-im/switchyard/frame"

const (
	maxLoops      = 1<<6 - 1 // the last address is dispatch's own, for what is no connection
	maxSlots      = 1 << 24
	maxGeneration = 1<<24 - 1
	slotChunk     = 1024 // so that a chunk is whole pages of 8 KiB, to which the allocator rounds up, whatever the size of a Conn
)

// slots is a loop's table of connections, by the slot number in their ids. Connections lie in chunks that never move, so pointers to
// them stay good; a slot that is free keeps the id of its next connection. Owned by the loop.
type slots struct {
	chunks []*[slotChunk]Conn
	free   []uint32
	used   int
}

// take returns a free connection with its next id set, or nil if every slot is in use.
func (s *slots) take(l *loop) *Conn {
	if len(s.free) == 0 && !s.grow(l) {
		return nil
	}
	n := s.free[len(s.free)-1]
	s.free = s.free[:len(s.free)-1]
	s.used++
	return s.at(int(n))
}

func (s *slots) grow(l *loop) bool {
	first := len(s.chunks) * slotChunk
	if first >= maxSlots {
		return false
	}
	chunk := new([slotChunk]Conn)
	s.chunks = append(s.chunks, chunk)
	for i := slotChunk - 1; i >= 0; i-- {
		chunk[i].id = frame.MakeConnID(l.cfg.Node, l.index, first+i, 1)
		s.free = append(s.free, uint32(first+i))
	}
	l.growOperators()
	return true
}

// give resets a connection and frees its slot for the next generation. A slot whose generations are used up is retired: better 100 bytes
// lost than a parcel for someone else.
func (s *slots) give(c *Conn) {
	id := c.id
	s.used--
	*c = Conn{}
	if id.Generation() == maxGeneration {
		return
	}
	c.id = id + 1
	s.free = append(s.free, uint32(id.Slot()))
}

// find returns the open connection of this id, or nil.
func (s *slots) find(id frame.ConnID) *Conn {
	n := id.Slot()
	if n >= s.size() {
		return nil
	}
	if c := s.at(n); c.id == id && c.state == stateOpen {
		return c
	}
	return nil
}

// size is the number of slots that were ever used; at takes what is below it.
func (s *slots) size() int { return len(s.chunks) * slotChunk }

func (s *slots) at(n int) *Conn { return &s.chunks[n/slotChunk][n%slotChunk] }

// each calls fn for every connection that is in use.
func (s *slots) each(fn func(*Conn)) {
	for _, chunk := range s.chunks {
		for i := range chunk {
			if chunk[i].state != stateFree {
				fn(&chunk[i])
			}
		}
	}
}
