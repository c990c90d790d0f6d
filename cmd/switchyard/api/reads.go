package api

import (
	"net/http"
	"unicode/utf8"

	"github.com/switchyard-im/switchyard/frame"
)

// states are the names of a conversation's states.
var states = map[frame.ConversationState]string{frame.StateQueued: "queued", frame.StateAssigned: "assigned", frame.StateClosed: "closed", frame.StateHeld: "held"}

type conversationAnswer struct {
	Conv     string `json:"conv"`
	State    string `json:"state"`
	Group    string `json:"group"`
	Visitor  string `json:"visitor"`
	Agent    string `json:"agent"` // empty: nobody
	Head     uint64 `json:"head"`
	OpenedMS int64  `json:"opened_ms"`
	QueuedMS int64  `json:"queued_ms"`           // since when it waits, or waited last
	ClosedMS int64  `json:"closed_ms,omitempty"` // the last time; left out if it never was
	Priority int    `json:"priority"`
	Language string `json:"language,omitempty"`
	Rating   int    `json:"rating,omitempty"`
}

// conversation answers GET /v1/conversations/{id}.
func (s *Server) conversation(r *request) (any, error) {
	conv, err := conversationOf(r)
	if err != nil {
		return nil, err
	}
	if conv.AreNotes() {
		return nil, &problem{http.StatusNotFound, "not_found", "these are notes, which have messages only; ask about their conversation", 0}
	}
	generation := s.cfg.Store.Generation()
	access, err := s.admit(conv, &r.who)
	if err != nil {
		return nil, err
	}
	c := access.Show()
	return conversationAnswer{
		Conv: conv.String(), State: states[c.State], Group: c.Group, Visitor: c.Visitor, Agent: c.Agent, Head: access.Head, OpenedMS: c.OpenedMS,
		QueuedMS: c.QueuedMS, ClosedMS: c.ClosedMS, Priority: c.Priority, Language: c.Language, Rating: c.Rating,
	}, s.cfg.Store.Durable(r.Context(), generation)
}

type agentLine struct {
	Agent     string `json:"agent"`
	Connected bool   `json:"connected"`
	Status    string `json:"status"`
	Load      int    `json:"load"`
	Capacity  int    `json:"capacity"`
}

// agents answers GET /v1/agents with those of a group who are there, or still serve somebody.
func (s *Server) agents(r *request) (any, error) {
	group, err := groupOf(r, r.URL.Query().Get("group"))
	if err != nil {
		return nil, err
	}
	all, err := s.cfg.Center.Agents(r.Context(), group)
	if err != nil {
		return nil, err
	}
	lines := make([]agentLine, 0, len(all))
	for _, a := range all {
		lines = append(lines, agentLine{a.Name, a.Connected, statusName(a.Status), a.Load, a.Capacity})
	}
	return map[string]any{"group": group, "agents": lines}, nil
}

func statusName(status frame.AgentStatus) string {
	for name, s := range agentStatuses {
		if s == status {
			return name
		}
	}
	return "offline"
}

type queueEntry struct {
	Conv     string `json:"conv"`
	Visitor  string `json:"visitor"`
	SinceMS  int64  `json:"since_ms"`
	Priority int    `json:"priority"`
	Front    bool   `json:"front"`
}

// The entries of a queue.
const (
	queueStandard = 50
	queueMax      = 200
)

// queue answers GET /v1/queues/{group} with those who wait, in their order.
func (s *Server) queue(r *request) (any, error) {
	group, err := groupOf(r, r.PathValue("group"))
	if err != nil {
		return nil, err
	}
	limit, err := parseLimit(r.URL.Query(), queueStandard, queueMax)
	if err != nil {
		return nil, err
	}
	q, err := s.cfg.Center.Queue(r.Context(), group, limit)
	if err != nil {
		return nil, err
	}
	entries := make([]queueEntry, 0, len(q.Entries))
	for _, e := range q.Entries {
		entries = append(entries, queueEntry{e.Conv.String(), e.Visitor, e.AtMS, e.Priority, e.Front})
	}
	return map[string]any{"group": group, "total": q.Total, "entries": entries}, nil
}

// groupOf is a group that the bearer may ask about.
func groupOf(r *request, group string) (string, error) {
	if group == "" || len(group) > frame.MaxName || !utf8.ValidString(group) {
		return "", badRequest("group is the name of a group, 1 to 128 bytes of UTF-8")
	}
	if !r.staffOf(group) {
		return "", &problem{http.StatusForbidden, "forbidden", "neither the token nor the key is for this group", 0}
	}
	return group, nil
}
