package history

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/switchyard-im/switchyard/frame"
)

// Scanner reads all messages of the store on the disk; see sink.Store.
type Scanner interface {
	ScanMessages(ctx context.Context, fn func(conv frame.ID, frames []byte) error) error
}

// Embedded answers Queries from the store on the disk, within its retention. It has no index: each answer reads all messages, so one is made at a
// time, and each ends after its time with what it has found. That is for small installations and for trying things out. Safe for concurrent use.
type Embedded struct {
	store Scanner
	group func(conv frame.ID) (string, error)
	limit time.Duration
	slot  chan struct{} // one for the answer that is being made
}

// NewEmbedded makes one. Group tells to which group a conversation belongs; limit is how long an answer may take.
func NewEmbedded(store Scanner, group func(conv frame.ID) (string, error), limit time.Duration) *Embedded {
	return &Embedded{store: store, group: group, limit: limit, slot: make(chan struct{}, 1)}
}

// errEnough ends a scan whose time is over.
var errEnough = errors.New("history: the time of the scan is over")

// scan calls fn with each message until the limit. Complete tells whether that were all. The message expires when fn returns.
func (e *Embedded) scan(ctx context.Context, fn func(*frame.Message) error) (complete bool, err error) {
	select {
	case e.slot <- struct{}{}:
		defer func() { <-e.slot }()
	default:
		return false, ErrBusy
	}
	deadline := time.Now().Add(e.limit)
	err = e.store.ScanMessages(ctx, func(_ frame.ID, frames []byte) error {
		if err := eachMessage(frames, fn); err != nil {
			return err
		}
		if time.Now().After(deadline) {
			return errEnough
		}
		return nil
	})
	if errors.Is(err, errEnough) {
		return false, nil
	}
	return err == nil, err
}

// Search is Queries'.
func (e *Embedded) Search(ctx context.Context, q Search) (Found, error) {
	words := splitWords(q.Words)
	if len(words) == 0 {
		return Found{Complete: true}, nil
	}
	hits := hits{limit: q.Limit + 1}
	of := groupOf{lookup: e.group}
	complete, err := e.scan(ctx, func(m *frame.Message) error {
		place := Cursor{TimeMS: m.TimeMS, Conv: m.Conv, Seq: m.Seq}
		if m.Kind != frame.KindChat || m.TimeMS < q.FromMS || m.TimeMS >= bound(q.ToMS) || q.After != (Cursor{}) && compare(place, q.After) <= 0 || !hasWords(m.Body, words) {
			return nil
		}
		group, err := of.find(m.Conv)
		if err == nil && slices.Contains(q.Groups, group) {
			hits.add(m)
		}
		return err
	})
	if err != nil {
		return Found{}, err
	}
	return hits.page(q.Limit, complete), nil
}

// compare orders newest first.
func compare(a, b Cursor) int {
	return -cmp.Or(cmp.Compare(a.TimeMS, b.TimeMS), slices.Compare(a.Conv[:], b.Conv[:]), cmp.Compare(a.Seq, b.Seq))
}

// hasWords tells whether a body has all the words.
func hasWords(body []byte, words []string) bool {
	text, _, _ := splitBody(body, nil)
	has := splitWords(string(text))
	for _, w := range words {
		if !slices.Contains(has, w) {
			return false
		}
	}
	return true
}

// groupOf remembers the group of the last conversation: a scan comes by conversation.
type groupOf struct {
	lookup func(frame.ID) (string, error)
	conv   frame.ID
	group  string
}

func (g *groupOf) find(conv frame.ID) (string, error) {
	if conv != g.conv {
		group, err := g.lookup(conv)
		if err != nil {
			return "", err
		}
		g.conv, g.group = conv, group
	}
	return g.group, nil
}

// hits are the first messages of those added, in the order of a search: limit of them, and for a while some more.
type hits struct {
	limit    int
	messages []frame.Message
}

func (h *hits) add(m *frame.Message) {
	kept := *m
	kept.Sender, kept.Body = slices.Clone(m.Sender), slices.Clone(m.Body)
	h.messages = append(h.messages, kept)
	if len(h.messages) >= 2*h.limit {
		h.cut()
	}
}

func (h *hits) cut() {
	slices.SortFunc(h.messages, func(a, b frame.Message) int { return compare(placeOf(&a), placeOf(&b)) })
	h.messages = h.messages[:min(len(h.messages), h.limit)]
}

func placeOf(m *frame.Message) Cursor { return Cursor{TimeMS: m.TimeMS, Conv: m.Conv, Seq: m.Seq} }

// page cuts what was found to a page.
func (h *hits) page(limit int, complete bool) Found {
	h.cut()
	f := Found{Messages: h.messages, Complete: complete}
	if len(f.Messages) > limit {
		f.Messages = f.Messages[:limit]
		f.Next = placeOf(&f.Messages[limit-1])
	}
	return f
}

// Report is Queries'.
func (e *Embedded) Report(ctx context.Context, q Report) (Table, error) {
	if keys[q.By] == "" || values[q.Measure].value == "" {
		return Table{}, errReport
	}
	samples := map[string][]uint64{}
	var now conversationTimes
	finish := func() error {
		if !now.opened.known || now.opened.ms < q.FromMS || now.opened.ms >= bound(q.ToMS) {
			return nil
		}
		group, err := e.group(now.conv)
		value, ok := now.measure(q.Measure)
		if err == nil && ok && slices.Contains(q.Groups, group) {
			key := map[Dimension]string{ByAgent: now.agent, ByGroup: group, ByDay: day(now.opened.ms)}[q.By]
			samples[key] = append(samples[key], value)
		}
		return err
	}
	complete, err := e.scan(ctx, func(m *frame.Message) error {
		if m.Conv != now.conv {
			if err := finish(); err != nil {
				return err
			}
			now = conversationTimes{conv: m.Conv}
		}
		now.add(m)
		return nil
	})
	if err == nil && complete { // else the last conversation was not read to its end
		err = finish()
	}
	return tabulate(samples, complete), err
}

// conversationTimes is what the messages of one conversation, in their order, tell a report.
type conversationTimes struct {
	conv                              frame.ID
	opened, assigned, replied, closed moment
	agents                            []string // that it was assigned to
	agent                             string   // the last of them
	rating                            uint8
}

type moment struct {
	ms    uint64
	known bool
}

func (t *moment) first(ms uint64) {
	if !t.known {
		*t = moment{ms, true}
	}
}

func (c *conversationTimes) add(m *frame.Message) {
	if m.Kind == frame.KindChat {
		if slices.Contains(c.agents, string(m.Sender)) {
			c.replied.first(m.TimeMS)
		}
		return
	}
	switch e := parseEvent(m.Body); e.name {
	case "opened":
		c.opened.first(m.TimeMS)
	case "assigned":
		c.assigned.first(m.TimeMS)
		c.agent = e.agent
		c.agents = append(c.agents, e.agent)
	case "closed":
		c.closed = moment{m.TimeMS, true}
	case "rated":
		c.rating = e.rating
	}
}

// measure is the value of the conversation, if it has one.
func (c *conversationTimes) measure(m Measure) (value uint64, ok bool) {
	between := func(from, to moment) (uint64, bool) {
		return max(to.ms, from.ms) - from.ms, from.known && to.known
	}
	switch m {
	case FirstReply:
		return between(c.opened, c.replied)
	case QueueTime:
		return between(c.opened, c.assigned)
	case HandleTime:
		return between(c.assigned, c.closed)
	default:
		return uint64(c.rating), c.rating > 0
	}
}

func tabulate(samples map[string][]uint64, complete bool) Table {
	t := Table{Complete: complete}
	for key, values := range samples {
		slices.Sort(values)
		sum := 0.0
		for _, v := range values {
			sum += float64(v)
		}
		at := func(p float64) uint64 { return values[min(int(p*float64(len(values))), len(values)-1)] }
		t.Lines = append(t.Lines, Line{Key: key, Count: uint64(len(values)), Mean: sum / float64(len(values)), P50: at(0.5), P90: at(0.9), P99: at(0.99)})
	}
	slices.SortFunc(t.Lines, func(a, b Line) int { return cmp.Compare(a.Key, b.Key) })
	return t
}

// eachMessage calls fn with each message of a row of frames; it expires when fn returns.
func eachMessage(frames []byte, fn func(*frame.Message) error) error {
	var m frame.Message
	for len(frames) > 0 {
		_, f, rest, err := frame.Next(frames)
		if err == nil {
			err = m.Parse(f)
		}
		if err == nil {
			err = fn(&m)
		}
		if err != nil {
			return err
		}
		frames = rest
	}
	return nil
}
