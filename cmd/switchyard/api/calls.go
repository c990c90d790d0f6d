package api

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net/http"
	"time"
	"unicode/utf8"

	"github.com/switchyard-im/switchyard/dispatch"
	"github.com/switchyard-im/switchyard/dispatch/core"
	"github.com/switchyard-im/switchyard/dispatch/desk"
	"github.com/switchyard-im/switchyard/frame"
)

// call has the message center do what a frame says, given as its fields in the JSON form of the protocol, and returns the frame that answers. An
// error frame becomes an error.
func (s *Server) call(r *request, who core.Identity, typ frame.Type, fields ...any) (frame.Type, []byte, error) {
	text, err := json.Marshal(append([]any{uint8(typ), dispatch.CallRef}, fields...))
	if err != nil {
		return 0, nil, err
	}
	f, err := frame.FromJSON(nil, text)
	if err != nil {
		return 0, nil, badRequest(err.Error())
	}
	if _, _, _, err := frame.Next(f); err != nil {
		return 0, nil, badRequest(err.Error())
	}
	answer, err := s.cfg.Center.Call(r.Context(), &who, f)
	if err != nil {
		return 0, nil, err
	}
	typ, answer, _, err = frame.Next(answer)
	if err != nil || typ != frame.TypeError {
		return typ, answer, err
	}
	var e frame.Error
	if err := e.Parse(answer); err != nil {
		return 0, nil, err
	}
	return 0, nil, refused(&e)
}

// statuses are those of the protocol's error codes; of others 400.
var statuses = map[uint64]int{
	frame.ErrorForbidden: http.StatusForbidden, frame.ErrorNotFound: http.StatusNotFound,
	frame.ErrorClosed: http.StatusConflict, frame.ErrorConflict: http.StatusConflict, frame.ErrorTaken: http.StatusConflict, frame.ErrorBadSequence: http.StatusConflict,
	frame.ErrorOverloaded: http.StatusServiceUnavailable, frame.ErrorUnavailable: http.StatusServiceUnavailable,
	frame.ErrorTooLarge: http.StatusRequestEntityTooLarge,
}

// refused is the problem that an error frame tells of.
func refused(e *frame.Error) error {
	p := &problem{statuses[e.Code], frame.ErrorName(e.Code), string(e.Text), time.Duration(e.RetryMS) * time.Millisecond}
	if p.status == 0 {
		p.status = http.StatusBadRequest
	}
	if p.status == http.StatusServiceUnavailable && p.retry == 0 {
		p.retry = time.Second
	}
	return p
}

// acked is the answer to what changed a conversation.
type acked struct {
	Conv   string  `json:"conv"`
	Seq    uint64  `json:"seq"`
	TimeMS uint64  `json:"time_ms"`
	ID     *string `json:"id,omitempty"` // of a message that may be sent again
}

// change carries out a request about a conversation that is answered by an ack.
func (s *Server) change(r *request, who core.Identity, typ frame.Type, conv frame.ID, fields ...any) (acked, error) {
	_, f, err := s.call(r, who, typ, append([]any{conv.String()}, fields...)...)
	if err != nil {
		return acked{}, err
	}
	var a frame.Ack
	err = a.Parse(f)
	return acked{Conv: conv.String(), Seq: a.Seq, TimeMS: a.TimeMS}, err
}

func conversationOf(r *request) (frame.ID, error) {
	conv, err := frame.ParseID(r.PathValue("id"))
	if err != nil {
		return conv, badRequest("the conversation's id is not 32 hexadecimal digits")
	}
	return conv, nil
}

// idempotency is the header with which a request that comes again is known.
const idempotency = "Idempotency-Key"

// idFrom makes an id of what a request is known by: the same for the same parts, and of no use to other applications.
func idFrom(r *request, parts ...string) (id frame.ID) {
	h := sha256.New()
	for _, part := range append([]string{r.key.Name}, parts...) {
		fmt.Fprintf(h, "%d:%s", len(part), part)
	}
	copy(id[:], h.Sum(nil))
	return id
}

// open answers POST /v1/conversations: a visitor's conversation, as if that had opened it.
func (s *Server) open(r *request) (any, error) {
	var body struct {
		Visitor string          `json:"visitor"`
		Group   string          `json:"group"`
		Key     string          `json:"key"`
		Details json.RawMessage `json:"details"`
	}
	if err := decode(r, &body); err != nil {
		return nil, err
	}
	if body.Visitor == "" || len(body.Visitor) > frame.MaxName {
		return nil, badRequest("visitor is the user's name, 1 to 128 bytes")
	}
	if !r.key.Oversees(body.Group) {
		return nil, &problem{http.StatusForbidden, "forbidden", fmt.Sprintf("the key %q is not for this group", r.key.Name), 0}
	}
	key, err := openKey(r, body.Key, body.Visitor)
	if err != nil {
		return nil, err
	}
	fields := []any{key.String(), body.Group}
	if len(body.Details) > 0 && string(body.Details) != "null" {
		fields = append(fields, body.Details)
	}
	who := core.Identity{User: body.Visitor, Role: frame.RoleVisitor, Profile: &desk.Profile{Groups: r.key.Groups}}
	_, f, err := s.call(r, who, frame.TypeOpen, fields...)
	if err != nil {
		return nil, err
	}
	var c frame.Conversation
	if err := c.Parse(f); err != nil {
		return nil, err
	}
	if body.Key != "" && !r.key.Oversees(string(c.Group)) { // whose it is, is not known. With a key of ours this application opened it, and the fallback may have it by now.
		return nil, &problem{http.StatusForbidden, "forbidden", fmt.Sprintf("this conversation is there, and in a group that the key %q is not for", r.key.Name), 0}
	}
	r.out.conv = c.Conv.String()
	return opened{c.Conv.String(), key.String(), states[c.State], string(c.Group), string(c.Visitor), string(c.Agent), c.Head}, nil
}

type opened struct {
	Conv    string `json:"conv"`
	Key     string `json:"key"`
	State   string `json:"state"`
	Group   string `json:"group"`
	Visitor string `json:"visitor"`
	Agent   string `json:"agent"`
	Head    uint64 `json:"head"`
}

// openKey is the key of the conversation: the one that is given, or made of the header, or random.
func openKey(r *request, given, visitor string) (key frame.ID, err error) {
	header := r.Header.Get(idempotency)
	switch {
	case given != "":
		if key, err = frame.ParseID(given); err != nil || key.IsZero() {
			return key, badRequest("key is 32 hexadecimal digits, not all zero")
		}
	case header != "":
		key = idFrom(r, "open", visitor, header)
	default:
		rand.Read(key[:]) // never fails: crypto/rand ends the process instead
	}
	return key, nil
}

// close answers POST /v1/conversations/{id}/close.
func (s *Server) close(r *request) (any, error) {
	conv, err := conversationOf(r)
	if err != nil {
		return nil, err
	}
	if err := decodeOptional(r, &struct{}{}); err != nil {
		return nil, err
	}
	return s.change(r, r.who, frame.TypeClose, conv)
}

// transfer answers POST /v1/conversations/{id}/transfer.
func (s *Server) transfer(r *request) (any, error) {
	conv, err := conversationOf(r)
	if err != nil {
		return nil, err
	}
	var body struct {
		Group string `json:"group"`
		Agent string `json:"agent"`
		Front bool   `json:"front"`
	}
	if err := decode(r, &body); err != nil {
		return nil, err
	}
	if body.Group != "" && !r.key.Oversees(body.Group) {
		return nil, &problem{http.StatusForbidden, "forbidden", fmt.Sprintf("the key %q is not for this group", r.key.Name), 0}
	}
	return s.change(r, r.who, frame.TypeTransfer, conv, body.Group, body.Agent, body.Front)
}

// send answers POST /v1/conversations/{id}/messages. With an Idempotency-Key the message is stored once, however often the request comes.
func (s *Server) send(r *request) (any, error) {
	conv, err := conversationOf(r)
	if err != nil {
		return nil, err
	}
	var body struct {
		Body   json.RawMessage `json:"body"`
		Sender string          `json:"sender"`
		Base   uint64          `json:"base"`
	}
	if err := decode(r, &body); err != nil {
		return nil, err
	}
	if len(body.Body) == 0 || string(body.Body) == "null" {
		return nil, badRequest("body is the message: any JSON but null")
	}
	if len(body.Sender) > frame.MaxName {
		return nil, badRequest("sender has at most 128 bytes")
	}
	who := r.who
	if body.Sender != "" {
		who = system(r.key, body.Sender)
	}
	header := r.Header.Get(idempotency)
	if header == "" {
		return s.change(r, who, frame.TypeSend, conv, 1, nil, 0, body.Body)
	}
	id := idFrom(r, "send", conv.String(), header).String()
	a, err := s.change(r, who, frame.TypeSend, conv, 2, id, body.Base, body.Body)
	a.ID = &id
	return a, err
}

// agentStatuses are the values of a status.
var agentStatuses = map[string]frame.AgentStatus{"offline": frame.AgentOffline, "online": frame.AgentOnline, "away": frame.AgentAway, "busy": frame.AgentBusy}

// status answers PUT /v1/agents/{name}/status.
func (s *Server) status(r *request) (any, error) {
	var body struct {
		Status   string `json:"status"`
		Capacity uint64 `json:"capacity"`
	}
	if err := decode(r, &body); err != nil {
		return nil, err
	}
	status, ok := agentStatuses[body.Status]
	if !ok {
		return nil, badRequest("status is offline, online, away or busy")
	}
	name := r.PathValue("name")
	if len(name) > frame.MaxName || !utf8.ValidString(name) {
		return nil, badRequest("the name is 1 to 128 bytes of UTF-8")
	}
	if _, _, err := s.call(r, r.who, frame.TypeStatus, status, body.Capacity, name); err != nil {
		return nil, err
	}
	return map[string]string{"agent": name, "status": body.Status}, nil
}
