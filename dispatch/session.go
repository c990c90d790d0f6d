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

	refused map[frame.ID]refusal // by conversation
}

// refusal keeps a connection's messages in order over a full ring, as core's barrier does over a failed commit: what is sent to the
// conversation after a refused message is refused too, until that comes again, or the one that was refused last.
type refusal struct{ first, last frame.ID }

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

// refusedMax bounds the conversations that a refusal is remembered for; a client would have to have messages under way in more.
const refusedMax = 1024

// mayPass tells whether a frame may go on, and lifts the refusal if it is a message that is awaited.
func (s *session) mayPass(typ frame.Type, f []byte) bool {
	if s.rare == nil || typ != frame.TypeSend {
		return true
	}
	var send frame.Send
	if send.Parse(f) != nil {
		return true
	}
	if r, ok := s.rare.refused[send.Conv]; ok && send.ID != r.first && send.ID != r.last {
		return false
	}
	delete(s.rare.refused, send.Conv)
	s.tidy()
	return true
}

// refuse remembers a frame that a full ring refused, if it is a message with an id.
func (s *session) refuse(typ frame.Type, f []byte) {
	var send frame.Send
	if typ != frame.TypeSend || send.Parse(f) != nil || send.Level != 2 {
		return
	}
	first := send.ID
	if r, again := s.refusal(send.Conv); again {
		first = r.first
	}
	s.bar(send.Conv, refusal{first, send.ID})
}

// takeOver goes on with a machine's refusal. Its first message is before any that the gate refused: the gate lets nothing through behind that.
func (s *session) takeOver(conv frame.ID, machines refusal) {
	if r, also := s.refusal(conv); also {
		machines.last = r.last
	}
	s.bar(conv, machines)
}

func (s *session) refusal(conv frame.ID) (r refusal, ok bool) {
	if s.rare != nil {
		r, ok = s.rare.refused[conv]
	}
	return r, ok
}

func (s *session) bar(conv frame.ID, with refusal) {
	r := s.rarely()
	if r.refused == nil {
		r.refused = make(map[frame.ID]refusal)
	}
	if _, again := r.refused[conv]; again || len(r.refused) < refusedMax {
		r.refused[conv] = with
	}
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
