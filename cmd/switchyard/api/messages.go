package api

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strconv"

	"github.com/switchyard-im/switchyard/dispatch"
	"github.com/switchyard-im/switchyard/dispatch/core"
	"github.com/switchyard-im/switchyard/frame"
)

// pageBytes bounds the messages of a page, in their msgpack form. A page may hold fewer than was asked for.
const pageBytes = 1 << 20

// messagesAnswer is a page of a conversation, in ascending order.
type messagesAnswer struct {
	Conv     string    `json:"conv"`
	Messages []message `json:"messages"`
	More     bool      `json:"more"` // there are more, on the side to which the request pages
	// PartialFrom is there if older messages belong into the page and cannot be read now: it is complete from this sequence on.
	PartialFrom uint64 `json:"partial_from,omitempty"`
}

// message is one message frame.
type message struct {
	Conv   string          `json:"conv"`
	Seq    uint64          `json:"seq"`
	Prev   uint64          `json:"prev"`
	TimeMS uint64          `json:"time_ms"`
	Sender string          `json:"sender"` // empty: the server
	ID     *string         `json:"id"`     // null: it had none
	Kind   string          `json:"kind"`   // message or event
	Body   json.RawMessage `json:"body"`   // as in the JSON form of the protocol
}

var kinds = map[frame.Kind]string{frame.KindChat: "message", frame.KindEvent: "event"}

// newMessages reads a row of message frames.
func newMessages(frames []byte) ([]message, error) {
	all := []message{}
	for len(frames) > 0 {
		_, f, rest, err := frame.Next(frames)
		var m frame.Message
		if err == nil {
			err = m.Parse(f)
		}
		if err != nil {
			return nil, err
		}
		one, err := newMessage(&m)
		if err != nil {
			return nil, err
		}
		all, frames = append(all, one), rest
	}
	return all, nil
}

func newMessage(m *frame.Message) (message, error) {
	body, err := frame.AppendBodyJSON(nil, m.Body)
	if err != nil {
		return message{}, err
	}
	one := message{Conv: m.Conv.String(), Seq: m.Seq, Prev: m.Prev, TimeMS: m.TimeMS, Sender: string(m.Sender), Kind: kinds[m.Kind], Body: body}
	if !m.ID.IsZero() {
		id := m.ID.String()
		one.ID = &id
	}
	return one, nil
}

// messages answers GET /v1/conversations/{id}/messages with the newest messages before a sequence, or the oldest after one.
func (s *Server) messages(r *request) (any, error) {
	conv, err := frame.ParseID(r.PathValue("id"))
	if err != nil {
		return nil, badRequest("the conversation's id is not 32 hexadecimal digits")
	}
	p, err := parsePaging(r.URL.Query())
	if err != nil {
		return nil, err
	}
	generation := s.cfg.Store.Generation()
	access, err := s.admit(conv, &r.who)
	if err != nil {
		return nil, err
	}
	answer := messagesAnswer{Conv: conv.String(), Messages: []message{}}
	if access == nil {
		return answer, nil
	}
	head := access.Head
	var frames []byte
	if p.forward {
		frames, answer.More, err = s.after(conv, head, p)
	} else {
		frames, answer.More, err = s.before(conv, p)
	}
	var partial *dispatch.PartialError
	if errors.As(err, &partial) {
		answer.PartialFrom, err = partial.From, nil
	}
	if err == nil {
		err = s.cfg.Store.Durable(r.Context(), generation)
	}
	if err == nil {
		answer.Messages, err = newMessages(frames)
	}
	return answer, err
}

// admit returns what is stored of a conversation that the bearer may read, or of notes: who may read those is decided by the conversation that they are
// about. Of notes nobody has written nothing is.
func (s *Server) admit(conv frame.ID, who *core.Identity) (*core.Access, error) {
	access, err := s.access(conv.Host())
	switch {
	case err != nil:
		return nil, err
	case access == nil:
		return nil, &problem{http.StatusNotFound, "not_found", "there is no such conversation", 0}
	case !conv.AreNotes() && !access.MayRead(who):
		return nil, &problem{http.StatusForbidden, "forbidden", "only those who take part and supervisors of the group may read the history", 0}
	case conv.AreNotes() && !access.MayReadNotes(who):
		return nil, &problem{http.StatusForbidden, "forbidden", "only agents and supervisors of the group may read its notes", 0}
	case conv.AreNotes():
		return s.access(conv)
	}
	return access, nil
}

// access reads who may read a conversation; nil if there is none.
func (s *Server) access(conv frame.ID) (*core.Access, error) {
	state, tail, ok, err := s.cfg.Store.LoadConversation(conv, 1)
	if err != nil || !ok {
		return nil, err
	}
	return core.DecodeAccess(conv, state, tail)
}

func (s *Server) before(conv frame.ID, p paging) (frames []byte, more bool, err error) {
	frames, _, more, err = s.cfg.Store.ReadBefore(nil, conv, p.seq, p.limit, pageBytes)
	return frames, more, err
}

func (s *Server) after(conv frame.ID, head uint64, p paging) (frames []byte, more bool, err error) {
	frames, last, _, err := s.cfg.Store.ReadAfter(nil, conv, p.seq, head, p.limit, pageBytes)
	return frames, last < head, err
}

// paging is which messages are asked for: the newest before seq (0: of all), or with forward the oldest after it.
type paging struct {
	forward bool
	seq     uint64
	limit   int
}

func parsePaging(q url.Values) (p paging, err error) {
	if q.Has("before") && q.Has("after") {
		return p, badRequest("give before or after, not both")
	}
	p.forward = q.Has("after")
	for _, name := range []string{"before", "after"} {
		if text := q.Get(name); text != "" {
			if p.seq, err = strconv.ParseUint(text, 10, 64); err != nil {
				return p, badRequest(name + " is not a sequence, the number that a message has as seq")
			}
		}
	}
	p.limit, err = parseLimit(q, frame.DefaultHistory, frame.MaxHistory)
	return p, err
}

func parseLimit(q url.Values, standard, most int) (int, error) {
	text := q.Get("limit")
	if text == "" {
		return standard, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > most {
		return 0, badRequest("limit is not a number from 1 to " + strconv.Itoa(most))
	}
	return n, nil
}
