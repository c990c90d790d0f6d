package api

import (
	"net/http"

	"github.com/switchyard-im/switchyard/dispatch/desk"
	"github.com/switchyard-im/switchyard/frame"
)

// routingAnswer tells why an open conversation has its agent, or waits.
type routingAnswer struct {
	Conv      string     `json:"conv"`
	Decisions []decision `json:"decisions"` // the latest assignments, and last, if it waits, how it is now
}

// decision is a desk.Decision.
type decision struct {
	AtMS       int64       `json:"at_ms"`
	State      string      `json:"state"` // assigned or waiting
	Group      string      `json:"group"`
	Strategy   string      `json:"strategy"`
	Agent      string      `json:"agent,omitempty"`
	Reason     string      `json:"reason"`
	WaitedMS   int64       `json:"waited_ms"`
	Queue      int         `json:"queue"`  // others that waited in the group
	Agents     int         `json:"agents"` // of the group, connected
	Able       int         `json:"able"`   // of these, who have what it requires
	Free       int         `json:"free"`   // of these, who could take one more
	Candidates []candidate `json:"candidates"`
}

type candidate struct {
	Agent     string `json:"agent"`
	Load      int32  `json:"load"`
	Capacity  int32  `json:"capacity"`
	Preferred int32  `json:"preferred"`
}

var decided = map[desk.Kind]string{desk.Assign: "assigned", desk.Queue: "waiting"}

// routing answers GET /v1/conversations/{id}/routing. What agents have to do is for supervisors only.
func (s *Server) routing(r *request) (any, error) {
	conv, err := frame.ParseID(r.PathValue("id"))
	if err != nil {
		return nil, badRequest("the conversation's id is not 32 hexadecimal digits")
	}
	if r.key == nil && r.who.Role != frame.RoleSupervisor {
		return nil, &problem{http.StatusForbidden, "forbidden", "only supervisors of the group may see how it was routed", 0}
	}
	if _, err := s.admit(conv, &r.who); err != nil {
		return nil, err
	}
	decisions, open, err := s.cfg.Center.Explain(r.Context(), conv)
	if err != nil {
		return nil, err
	}
	if !open {
		return nil, &problem{http.StatusNotFound, "not_found", "the conversation is not open; how it was routed is known only while it is", 0}
	}
	answer := routingAnswer{Conv: conv.String(), Decisions: make([]decision, 0, len(decisions))}
	for i := range decisions {
		answer.Decisions = append(answer.Decisions, newDecision(&decisions[i]))
	}
	return answer, nil
}

func newDecision(e *desk.Decision) decision {
	d := decision{
		AtMS: e.AtMS, State: decided[e.Kind], Group: e.Group, Strategy: string(e.Strategy), Agent: e.Agent, Reason: string(e.Reason),
		WaitedMS: e.WaitedMS, Queue: e.Waiting, Agents: e.Members, Able: e.Able, Free: e.Free, Candidates: make([]candidate, 0, len(e.Candidates)),
	}
	for _, c := range e.Candidates {
		d.Candidates = append(d.Candidates, candidate{c.Agent, c.Load, c.Capacity, c.Preferred})
	}
	return d
}
