package chatserver

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"

	"github.com/golang-jwt/jwt/v5"

	"github.com/switchyard-im/switchyard/frame"
)

// API is the URL of the HTTP interface: GET /v1/conversations/ID/messages.
func (s *Server) API() string { return s.apiURL }

func (s *Server) startAPI() error {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("chatserver: %w", err)
	}
	s.apiURL = "http://" + listener.Addr().String()
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/conversations/{id}/messages", s.messages)
	s.api.Handler = mux
	s.work.Go(func() { _ = s.api.Serve(listener) }) // ends with Close
	return nil
}

func (s *Server) messages(w http.ResponseWriter, r *http.Request) {
	id, err := frame.ParseID(r.PathValue("id"))
	limit, err2 := strconv.Atoi(r.FormValue("limit"))
	claims := jwt.MapClaims{}
	_, _, err3 := jwt.NewParser().ParseUnverified(strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "), claims)
	s.mu.Lock()
	defer s.mu.Unlock()
	conv := s.convs[id]
	switch {
	case err3 != nil:
		problem(w, http.StatusUnauthorized, "unauthorized")
	case err != nil || err2 != nil || limit < 1 || limit > frame.MaxHistory:
		problem(w, http.StatusBadRequest, "bad_request")
	case conv == nil:
		problem(w, http.StatusNotFound, "not_found")
	case claims["sub"] != conv.visitor && claims["sub"] != conv.agent:
		problem(w, http.StatusForbidden, "forbidden")
	default:
		s.page(w, conv, r, limit)
	}
}

func problem(w http.ResponseWriter, status int, code string) {
	w.WriteHeader(status)
	fmt.Fprintf(w, `{"error":{"code":%q,"text":"by the model"}}`, code)
}

// page writes the oldest messages after a sequence, or the newest before one.
func (s *Server) page(w http.ResponseWriter, conv *conversation, r *http.Request, limit int) {
	log := conv.log
	if s.faults.History != nil {
		log = s.faults.History(log)
	}
	after, err := strconv.ParseUint(r.FormValue("after"), 10, 64)
	forward := err == nil
	before, _ := strconv.ParseUint(r.FormValue("before"), 10, 64)
	some := log
	switch {
	case forward:
		some = behind(log, after)
	case before > 0:
		some = log[:len(log)-len(behind(log, before-1))]
	}
	more := len(some) > limit
	switch {
	case more && forward:
		some = some[:limit]
	case more:
		some = some[len(some)-limit:]
	}
	page := map[string]any{"conv": conv.id.String(), "more": more, "messages": render(some)}
	_ = json.NewEncoder(w).Encode(page)
}

func render(messages []frame.Message) []map[string]any {
	rows := []map[string]any{}
	for _, m := range messages {
		body, err := frame.AppendBodyJSON(nil, m.Body)
		must(err)
		row := map[string]any{"conv": m.Conv.String(), "seq": m.Seq, "prev": m.Prev, "time_ms": m.TimeMS, "sender": string(m.Sender), "id": nil,
			"kind": "message", "body": json.RawMessage(body)}
		if !m.ID.IsZero() {
			row["id"] = m.ID.String()
		}
		if m.Kind == frame.KindEvent {
			row["kind"] = "event"
		}
		rows = append(rows, row)
	}
	return rows
}
