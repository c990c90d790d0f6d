package chaos

import (
	"time"

	"github.com/switchyard-im/switchyard/bench/report"
)

// Outage is one trouble and what it cost, in seconds.
type Outage struct {
	Name        string  `json:"name"`
	At          float64 `json:"at_seconds"`                // since the load began
	Lasted      float64 `json:"lasted_seconds"`            // until it was over: the server listened again, or went on
	Back        float64 `json:"back_seconds,omitempty"`    // until every client was back and something was accepted after it was over, to 20 ms; 0: not seen
	Connections int     `json:"connections_cut,omitempty"` // by a cut
	Overtaken   bool    `json:"overtaken,omitempty"`       // by the next trouble of the server, before every client was back
}

// outage is one that may still go on. Guarded by Run.mu.
type outage struct {
	Outage
	kind     Kind
	began    time.Time
	ended    time.Time // zero: it goes on
	waiting  int       // cut: members that have not done their part
	baseline int64     // what was accepted when all members had looked for the first time after the end; -1: not yet
}

// maxOutages are kept one by one; those after them are only counted.
const maxOutages = 10_000

// journal is what happened. Guarded by Run.mu.
type journal struct {
	outages  []*outage // the first maxOutages, in the order of their beginnings
	open     []*outage // those after which the clients are not back; a few, since each kind does one at a time and the server's are overtaken
	tallies  map[Kind]*tally
	failures []string // the first maxFailures
	failed   int      // all of them
	cut      int64    // connections
}

// tally is what the troubles of one kind cost.
type tally struct {
	times, overtaken int
	lasted, back     *report.Latency
}

func newJournal() journal {
	j := journal{tallies: map[Kind]*tally{}}
	for _, k := range kinds {
		j.tallies[k] = &tally{lasted: report.NewLatency(), back: report.NewLatency()}
	}
	return j
}

// happens notes the beginning of a trouble. One of the server overtakes all that is open: it cannot be told any more when the clients are back from that.
func (r *Run) happens(k Kind, name string) *outage {
	if r.cfg.Event != nil {
		r.cfg.Event(name)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	o := &outage{Outage: Outage{Name: name, At: now.Sub(r.began).Seconds()}, kind: k, began: now, baseline: -1}
	j := &r.journal
	if k != Cut && k != ClickHouse {
		for _, old := range j.open {
			old.Overtaken = true
			j.tallies[old.kind].overtaken++
		}
		j.open = j.open[:0]
	}
	if k != ClickHouse { // which the clients do not notice
		j.open = append(j.open, o)
	}
	if len(j.outages) < maxOutages {
		j.outages = append(j.outages, o)
	}
	j.tallies[k].times++
	r.say("%6.1f s: %s", o.At, name)
	return o
}

// over notes that a trouble is over.
func (r *Run) over(o *outage) {
	r.mu.Lock()
	defer r.mu.Unlock()
	o.ended = time.Now()
	lasted := o.ended.Sub(o.began)
	o.Lasted = lasted.Seconds()
	r.journal.tallies[o.kind].lasted.Record(int64(lasted))
	r.say("%6.1f s: %s is over after %.2f s", o.ended.Sub(r.began).Seconds(), o.Name, o.Lasted)
}

// recoverLocked looks which troubles the clients are back from.
func (r *Run) recoverLocked(now time.Time) {
	offline, accepted, looked := 0, int64(0), now
	for m := range r.members {
		offline += m.offline
		accepted += m.accepted
		if m.looked.Before(looked) {
			looked = m.looked
		}
	}
	j := &r.journal
	open := j.open[:0]
	for _, o := range j.open {
		switch {
		case o.ended.IsZero() || !looked.After(o.ended):
			open = append(open, o)
		case o.baseline < 0:
			o.baseline = accepted
			open = append(open, o)
		case offline > 0 || accepted <= o.baseline:
			open = append(open, o)
		default:
			o.Back = now.Sub(o.began).Seconds()
			j.tallies[o.kind].back.Record(int64(now.Sub(o.began)))
		}
	}
	j.open = open
}

// maxFailures are kept with their text.
const maxFailures = 20

// failure notes something that the server must not do.
func (r *Run) failure(text string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	j := &r.journal
	if j.failed++; len(j.failures) < maxFailures {
		j.failures = append(j.failures, text)
	}
	r.say("%s", text)
}
