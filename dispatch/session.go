package dispatch

import (
	"slices"

	"github.com/switchyard-im/switchyard/dispatch/core"
	"github.com/switchyard-im/switchyard/frame"
)

// session is what the gate knows of one connection. Owned by the connection's loop; a few dozen bytes, since there is one for each idle
// connection.
type session struct {
	who      *core.Identity // nil until a token was accepted
	conv     frame.ID       // what it may be attached to, told when it closes; zero: nothing, or what is in rare
	checking bool           // a token is with the auth pool
	due      uint32         // the Unix second of the next look at its deadlines; 0: none is noted
	rare     *rare          // nil: nothing of it
}

// rare is what most sessions have nothing of.
type rare struct {
	convs   []frame.ID // further conversations that it may be attached to
	replays replays    // what is to be replayed to it

	refused map[frame.ID]core.Refusals // by conversation, none of them empty
	known   int                        // messages of all of them
}

// rarely returns s.rare, made if need be.
func (s *session) rarely() *rare {
	if s.rare == nil {
		s.rare = &rare{}
	}
	return s.rare
}

// tidy drops s.rare when nothing is left of it.
func (s *session) tidy() {
	if r := s.rare; r != nil && len(r.convs)+len(r.refused)+len(r.replays.jobs) == 0 {
		s.rare = nil
	}
}

// sessions is a loop's store of session records. They lie in chunks: a million small objects would cost the collector their marks, and
// what was free between them would stay resident. Like the loop's connections, records are used again and never given back.
type sessions struct {
	free []*session
}

const sessionChunk = 64

func (p *sessions) take() *session {
	if len(p.free) == 0 {
		chunk := new([sessionChunk]session)
		for i := range chunk {
			p.free = append(p.free, &chunk[i])
		}
	}
	s := p.free[len(p.free)-1]
	p.free = p.free[:len(p.free)-1]
	return s
}

func (p *sessions) give(s *session) {
	*s = session{}
	p.free = append(p.free, s)
}

// refusedMax bounds the conversations with refused messages that the client has not sent again; a connection that is allowed more of them by
// Config.AttachMax has that many. With one more the connection is closed: nothing else would keep the order of its messages.
const refusedMax = 1024

// knownMax bounds the messages that are known of all of them, beyond one for each: 64 KiB. See core.Refusals for what happens then.
const knownMax = 4096

// mayPass tells whether a frame may go on, and lifts the refusal if it is a message that is awaited.
func (s *session) mayPass(typ frame.Type, f []byte) bool {
	if s.rare == nil || typ != frame.TypeSend {
		return true
	}
	var send frame.Send
	if send.Parse(f) != nil {
		return true
	}
	r, ok := s.rare.refused[send.Conv]
	if !ok {
		return true
	}
	if !r.Awaits(send.ID) {
		return false
	}
	delete(s.rare.refused, send.Conv)
	s.rare.known -= r.Len()
	s.tidy()
	return true
}

// refuse remembers a frame that a full ring refused, if it is a message with an id. False: there are too many to remember it, see refusedMax.
func (s *session) refuse(typ frame.Type, f []byte, limit int) bool {
	var send frame.Send
	if typ != frame.TypeSend || send.Parse(f) != nil || send.Level != 2 || send.ID.IsZero() {
		return true
	}
	r := s.refused(send.Conv)
	r.Refuse(send.ID, s.room(send.Conv))
	return s.bar(send.Conv, r, limit)
}

// takeOver goes on with a machine's refusals. False: there are too many.
func (s *session) takeOver(conv frame.ID, machines *core.Refusals, limit int) bool {
	return s.bar(conv, machines.Then(s.refused(conv), s.room(conv)), limit)
}

// refused returns what is refused of a conversation.
func (s *session) refused(conv frame.ID) (r core.Refusals) {
	if s.rare != nil {
		r = s.rare.refused[conv]
	}
	return r
}

// room is how many refused messages of a conversation may be known.
func (s *session) room(conv frame.ID) int {
	if s.rare == nil {
		return knownMax
	}
	r := s.rare.refused[conv]
	return knownMax - s.rare.known + r.Len()
}

// bar replaces what is refused of a conversation.
func (s *session) bar(conv frame.ID, with core.Refusals, limit int) bool {
	r := s.rarely()
	if r.refused == nil {
		r.refused = make(map[frame.ID]core.Refusals)
	}
	before, again := r.refused[conv]
	if !again && len(r.refused) >= max(limit, refusedMax) {
		return false
	}
	r.refused[conv] = with
	r.known += with.Len() - before.Len()
	return true
}

// passed notes that a runner has taken a frame. Only now a detach counts: had it been refused, the conversation would still hold the
// connection, and not be told when it closes.
func (s *session) passed(typ frame.Type, f []byte) {
	var d frame.Detach
	if typ == frame.TypeDetach && d.Parse(f) == nil {
		s.leave(d.Conv)
	}
}

// join remembers a conversation; false: the session has too many. None has the zero id, so nothing can be attached to that.
func (s *session) join(conv frame.ID, limit int) bool {
	switch {
	case conv.IsZero() || s.knows(conv):
	case s.conversations() >= limit:
		return false
	case s.conv.IsZero():
		s.conv = conv
	default:
		r := s.rarely()
		r.convs = append(r.convs, conv)
	}
	return true
}

func (s *session) knows(conv frame.ID) bool {
	return s.conv == conv || s.rare != nil && slices.Contains(s.rare.convs, conv)
}

// conversations is how many the session remembers.
func (s *session) conversations() (n int) {
	if !s.conv.IsZero() {
		n++
	}
	if s.rare != nil {
		n += len(s.rare.convs)
	}
	return n
}

// each calls fn for each conversation.
func (s *session) each(fn func(frame.ID)) {
	if !s.conv.IsZero() {
		fn(s.conv)
	}
	if s.rare != nil {
		for _, conv := range s.rare.convs {
			fn(conv)
		}
	}
}

// leave forgets a conversation.
func (s *session) leave(conv frame.ID) {
	if s.conv == conv {
		s.conv = frame.ID{}
	} else if r := s.rare; r != nil {
		r.convs = slices.DeleteFunc(r.convs, func(c frame.ID) bool { return c == conv })
		s.tidy()
	}
}
