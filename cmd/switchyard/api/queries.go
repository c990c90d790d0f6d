package api

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/switchyard-im/switchyard/frame"
	"github.com/switchyard-im/switchyard/sink/history"
)

// The bounds of a search.
const (
	searchStandard = 50
	searchMax      = 200
	searchWords    = 256 // bytes
)

type searchAnswer struct {
	Messages []message `json:"messages"` // newest first
	Next     string    `json:"next"`     // the cursor of the next page; empty: that was all
	Complete bool      `json:"complete"` // false: the search ended before it had looked at everything
}

// search answers GET /v1/search.
func (s *Server) search(r *request) (any, error) {
	groups, err := supervised(r)
	if err != nil {
		return nil, err
	}
	v := r.URL.Query()
	q := history.Search{Words: v.Get("q"), Groups: groups}
	if q.Words == "" || len(q.Words) > searchWords {
		return nil, badRequest(fmt.Sprintf("q is the words to look for, 1 to %d bytes", searchWords))
	}
	if q.FromMS, q.ToMS, err = parseTimes(v); err != nil {
		return nil, err
	}
	if q.Limit, err = parseLimit(v, searchStandard, searchMax); err != nil {
		return nil, err
	}
	if q.After, err = history.ParseCursor(v.Get("cursor")); err != nil {
		return nil, badRequest("cursor is not the next of an answer")
	}
	found, err := s.cfg.Queries.Search(r.Context(), q)
	if err != nil {
		return nil, err
	}
	answer := searchAnswer{Messages: []message{}, Next: found.Next.String(), Complete: found.Complete}
	for i := range found.Messages {
		one, err := newMessage(&found.Messages[i])
		if err != nil {
			return nil, err
		}
		answer.Messages = append(answer.Messages, one)
	}
	return answer, nil
}

type reportAnswer struct {
	Measure  history.Measure   `json:"measure"`
	By       history.Dimension `json:"by"`
	Unit     string            `json:"unit"` // of mean and percentiles: ms, or points from 1 to 5
	Lines    []reportLine      `json:"lines"`
	Complete bool              `json:"complete"` // false: the report ended before it had looked at everything
}

type reportLine struct {
	Key   string  `json:"key"`   // an agent, a group, or a day (UTC)
	Count uint64  `json:"count"` // conversations
	Mean  float64 `json:"mean"`
	P50   uint64  `json:"p50"`
	P90   uint64  `json:"p90"`
	P99   uint64  `json:"p99"`
}

var (
	measures   = []history.Measure{history.FirstReply, history.QueueTime, history.HandleTime, history.Ratings}
	dimensions = []history.Dimension{history.ByAgent, history.ByGroup, history.ByDay}
)

// report answers GET /v1/reports/{measure}.
func (s *Server) report(r *request) (any, error) {
	groups, err := supervised(r)
	if err != nil {
		return nil, err
	}
	v := r.URL.Query()
	q := history.Report{Measure: history.Measure(r.PathValue("measure")), By: history.Dimension(v.Get("by")), Groups: groups}
	if !slices.Contains(measures, q.Measure) {
		return nil, &problem{http.StatusNotFound, "not_found", fmt.Sprintf("there is no such report; there are %v", measures), 0}
	}
	if v.Get("by") == "" {
		q.By = history.ByDay
	}
	if !slices.Contains(dimensions, q.By) {
		return nil, badRequest(fmt.Sprintf("by is none of %v", dimensions))
	}
	if q.FromMS, q.ToMS, err = parseTimes(v); err != nil {
		return nil, err
	}
	table, err := s.cfg.Queries.Report(r.Context(), q)
	if err != nil {
		return nil, err
	}
	answer := reportAnswer{Measure: q.Measure, By: q.By, Unit: "ms", Lines: []reportLine{}, Complete: table.Complete}
	if q.Measure == history.Ratings {
		answer.Unit = "points"
	}
	for _, l := range table.Lines {
		answer.Lines = append(answer.Lines, reportLine(l))
	}
	return answer, nil
}

// supervised are the groups about which the bearer may ask: its own, or the one of them that the parameter group names.
func supervised(r *request) ([]string, error) {
	if r.key == nil && r.who.Role != frame.RoleSupervisor {
		return nil, &problem{http.StatusForbidden, "forbidden", "only supervisors may ask this", 0}
	}
	group := r.URL.Query().Get("group")
	if group == "" && r.key != nil && len(r.key.Groups) == 0 {
		return nil, badRequest("the key is for all groups: say with group which one you ask about")
	}
	if group == "" {
		return r.who.Groups(), nil
	}
	if !r.staffOf(group) {
		return nil, &problem{http.StatusForbidden, "forbidden", "neither the token nor the key names this group", 0}
	}
	return []string{group}, nil
}

// parseTimes reads from and to, each a day (its beginning in UTC) or a time of RFC 3339; 0 if it is not there.
func parseTimes(v url.Values) (fromMS, toMS uint64, err error) {
	if fromMS, err = parseTime(v, "from"); err == nil {
		toMS, err = parseTime(v, "to")
	}
	if err == nil && toMS != 0 && toMS <= fromMS {
		err = badRequest("to is not after from")
	}
	return fromMS, toMS, err
}

func parseTime(v url.Values, name string) (uint64, error) {
	text := v.Get(name)
	if text == "" {
		return 0, nil
	}
	for _, layout := range []string{time.DateOnly, time.RFC3339} {
		if t, err := time.Parse(layout, text); err == nil && t.UnixMilli() > 0 {
			return uint64(t.UnixMilli()), nil
		}
	}
	return 0, badRequest(name + " is not a day like 2026-07-31 or a time like 2026-07-31T12:00:00Z")
}
