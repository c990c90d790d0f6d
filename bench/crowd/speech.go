package crowd

import (
	"time"

	"github.com/switchyard-im/switchyard/bench/oracle"
	"github.com/switchyard-im/switchyard/frame"
)

// speech is what one agent says in one conversation: numbered messages, each kept with its id and base until it is acked.
type speech struct {
	conv     frame.ID
	pair     uint32 // the conversation's number in the run
	known    uint64 // the last sequence that the agent knows of it
	said     uint64
	accepted uint64
	open     []saying // said and not acked, in order
}

// saying is a message under way; a retry repeats all of it.
type saying struct {
	index, base uint64
	due         int64
}

// say adds a message.
func (p *speech) say(due int64) saying {
	s := saying{index: p.said, base: p.known, due: due}
	p.open = append(p.open, s)
	p.said++
	return s
}

// acked takes the sequence of a message; ok is false if it is not under way.
func (p *speech) acked(index, seq uint64) (ok bool) {
	for i := range p.open {
		if p.open[i].index == index {
			p.open = append(p.open[:i], p.open[i+1:]...)
			if len(p.open) == 0 {
				p.open = nil
			}
			p.known = max(p.known, seq)
			p.accepted++
			return true
		}
	}
	return false
}

// frame is a message as its send frame; body is memory to use again, and comes back.
func (p *speech) frame(run uint32, size int, s saying, ref uint64, body []byte) (frame.Send, []byte) {
	tag := oracle.Tag{Run: run, Pair: p.pair, Index: s.index, Due: s.due}
	body = oracle.AppendBody(body[:0], &tag, size)
	return frame.Send{Ref: ref, Conv: p.conv, Level: 2, ID: tag.ID(), Base: s.base, Body: body}, body
}

// later is a server's retry time in nanoseconds, at least a moment.
func later(ms uint64) int64 {
	return int64(max(time.Duration(min(ms, 60_000))*time.Millisecond, 10*time.Millisecond))
}
