package api

import (
	"net/http"

	"github.com/switchyard-im/switchyard/cmd/switchyard/canned"
)

type cannedAnswer struct {
	Group   string         `json:"group"`
	Replies []canned.Reply `json:"replies"`
}

// canned answers GET /v1/groups/{group}/canned with the group's replies, for those who send them.
func (s *Server) canned(r *request) (any, error) {
	group := r.PathValue("group")
	if !r.staffOf(group) {
		return nil, &problem{http.StatusForbidden, "forbidden", "only agents and supervisors of the group get its replies", 0}
	}
	// Not nil: an empty list is [] in JSON.
	return cannedAnswer{Group: group, Replies: append([]canned.Reply{}, s.cfg.Canned[group]...)}, nil
}
