package netserver

import "github.com/switchyard-im/switchyard/frame"

// deliverAll stages what the parcels in the mailbox hold, writes it, and releases the parcels, oldest first. Everything that waits goes
// into one drain, so the more the loop is behind, the more each write merges.
func (l *loop) deliverAll() {
	first := l.box.takeParcels()
	if first == nil {
		return
	}
	for p := first; p != nil; p = p.Next {
		l.stageParcel(p)
	}
	l.flush() // before the parcels go, because the staged data lies in them
	l.releaseParcels(first)
}

func (l *loop) stageParcel(p *frame.Parcel) {
	if t, ok := p.Owner.(*posted); ok {
		if c := l.slots.find(t.id); c != nil {
			t.f(c)
		}
		return
	}
	l.n.parcels++
	for i := range p.Targets {
		t := &p.Targets[i]
		c := l.slots.find(t.Conn)
		if c == nil || t.Len == 0 {
			l.n.undeliverable++
			continue
		}
		l.stage(c, opFrames, p.Buf[t.Off:t.Off+t.Len])
	}
}

func (l *loop) releaseParcels(p *frame.Parcel) {
	var n int64
	for p != nil {
		next := p.Next
		n += cost(p)
		p.Next = nil
		p.Owner.Release(p)
		p = next
	}
	l.box.released(n)
}
