package escalate

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// obvious is the same by searching: every message of every recipient is looked at in every event, and nothing is ever forgotten.
type obvious struct {
	cfg   Config
	wall  int64
	awake int64
	of    map[key]*plain
}

type plain struct {
	policy   string
	messages []plainMessage
	acked    uint64
	closed   bool
	queued   []Effect
}

type plainMessage struct {
	seq    uint64
	sentMS int64
	at     int64
	fired  []bool // by step
	old    bool   // was there when the conversation was closed with nothing to come, and opened again
}

func (o *obvious) to(wall int64) {
	passed := wall - o.wall
	if passed < 0 {
		passed = 0
	}
	if gap := o.cfg.MaxGap.Milliseconds(); passed > gap {
		passed = gap
	}
	o.wall, o.awake = wall, o.awake+passed
}

func (o *obvious) sent(k key, policy string, seq uint64) {
	p := o.of[k]
	if p == nil {
		p = &plain{}
		o.of[k] = p
	}
	if len(p.unacked()) == 0 {
		p.policy = policy
	}
	p.messages = append(p.messages, plainMessage{seq: seq, sentMS: o.wall, at: o.awake, fired: make([]bool, len(o.cfg.Policies[p.policy]))})
}

func (p *plain) unacked() []*plainMessage {
	var out []*plainMessage
	for i := range p.messages {
		if m := &p.messages[i]; m.seq > p.acked {
			out = append(out, m)
		}
	}
	return out
}

func (o *obvious) ack(k key, seq uint64) (out []string) {
	p := o.of[k]
	if p == nil || seq <= p.acked {
		return nil
	}
	p.acked = seq
	var left []Effect
	for _, e := range p.queued {
		switch {
		case seq >= e.Last:
			e.Kind = Cancel
			out = append(out, show(e))
			continue
		case seq >= e.First:
			e.Kind, e.First = Narrow, seq+1
			out = append(out, show(e))
		}
		left = append(left, e)
	}
	p.queued = left
	return out
}

func (o *obvious) tick() (out []string) {
	for k, p := range o.of {
		for i, s := range o.cfg.Policies[p.policy] {
			for _, m := range p.unacked() {
				if m.fired[i] || m.old || o.awake < m.at+s.After.Milliseconds() {
					continue
				}
				e := Effect{Kind: Fire, Conv: k.conv, User: k.user, Step: s.Name, Channel: s.Channel, First: m.seq, Last: m.seq}
				m.fired[i] = true
				if s.Digest {
					for _, later := range p.unacked() {
						if !later.fired[i] {
							later.fired[i], e.Last = true, later.seq
						}
					}
				}
				p.queued = append(p.queued, e)
				out = append(out, show(e))
			}
		}
	}
	return out
}

// restart moves the messages in time, as the grace wants it.
func (o *obvious) restart() {
	for _, p := range o.of {
		before := int64(-1 << 62)
		for _, m := range p.unacked() {
			i := slices.Index(m.fired, false)
			if i < 0 || m.old {
				continue
			}
			due := o.awake + o.cfg.Policies[p.policy][i].After.Milliseconds() - max(0, o.wall-m.sentMS)
			due = max(due, o.awake+min(o.cfg.Grace, o.cfg.Policies[p.policy][i].After).Milliseconds())
			m.at = max(before, due-o.cfg.Policies[p.policy][i].After.Milliseconds())
			before = m.at
		}
	}
}

// done forgets a notification that is queued, if any, and tells which.
func (o *obvious) done(r *rand.Rand) (k key, e Effect, ok bool) {
	for _, k := range sortedKeys(o.of) {
		p := o.of[k]
		if len(p.queued) > 0 && r.IntN(3) == 0 {
			i := r.IntN(len(p.queued))
			e = p.queued[i]
			p.queued = slices.Delete(p.queued, i, i+1)
			return k, e, true
		}
	}
	return k, e, false
}

func (o *obvious) clone() *obvious {
	c := *o
	c.of = map[key]*plain{}
	for k, p := range o.of {
		q := *p
		q.messages, q.queued = slices.Clone(p.messages), slices.Clone(p.queued)
		for i := range q.messages {
			q.messages[i].fired = slices.Clone(q.messages[i].fired)
		}
		c.of[k] = &q
	}
	return &c
}

// TestRandom lets messages, acks, closes, crashes, lost commits and jumps of the clock come at random, and compares every notification that is fired,
// narrowed and cancelled with the obvious.
func TestRandom(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	for round := range 40 {
		r := rand.New(rand.NewPCG(seed, uint64(round)))
		fires := randomRound(t, r, 500)
		if t.Failed() {
			t.Fatalf("seed %d round %d", seed, round)
		}
		if round == 0 && fires == 0 {
			t.Fatalf("seed %d: nothing was fired", seed)
		}
	}
}

func randomRound(t *testing.T, r *rand.Rand, steps int) (fires int) {
	cfg := Config{
		Grace: time.Duration(1+r.IntN(40)) * time.Second, MaxGap: 5 * time.Second,
		Policies: map[string][]Step{
			"p": {{"hook", 10 * time.Second, "webhook", false}, {"mail", 60 * time.Second, "mail", true}, {"sms", 90 * time.Second, "sms", false}},
			"q": {{"mail", 15 * time.Second, "mail", true}},
		},
	}
	c := newCaller(t, cfg)
	o := &obvious{cfg: cfg, wall: c.wall, of: map[key]*plain{}}
	heads := map[key]uint64{}
	for step := range steps {
		k := key{id(fmt.Sprint("c", r.IntN(3))), fmt.Sprint("u", r.IntN(2))}
		what, want := randomStep(r, c, o, k, heads)
		var got []string
		for _, e := range c.take() {
			if e.Kind == Fire || e.Kind == Narrow || e.Kind == Cancel {
				got = append(got, show(e))
			}
		}
		slices.Sort(got)
		slices.Sort(want)
		fires += len(want)
		if !slices.Equal(got, want) {
			t.Errorf("step %d, %s at %d: got %q, want %q", step, what, o.awake, got, want)
			return fires
		}
		if c.lose {
			c.wall += int64(r.IntN(100_000))
			o.wall = c.wall
			o.restart()
			c.restart()
		}
	}
	return fires
}

// randomStep does the same to both.
func randomStep(r *rand.Rand, c *caller, o *obvious, k key, heads map[key]uint64) (what string, want []string) {
	switch n := r.IntN(20); {
	case n < 6:
		if s := c.convs[k]; s != nil && s.closed {
			return "nothing", nil
		}
		c.wall += int64(r.IntN(4000))
		o.to(c.wall)
		heads[k] += 1 + uint64(r.IntN(3))
		policy := []string{"p", "p", "q"}[heads[k]%3]
		if p := o.of[k]; p != nil {
			policy = p.policy // one for each recipient
		}
		o.sent(k, policy, heads[k])
		c.sent(k, policy, heads[k])
		return "sent", nil
	case n < 8:
		o.to(c.wall)
		seq := uint64(r.IntN(int(heads[k]) + 1))
		if r.IntN(2) == 0 {
			seq = heads[k]
		}
		want = o.ack(k, seq)
		c.ack(k, seq)
		return fmt.Sprint("ack ", seq), want
	case n < 9:
		o.to(c.wall)
		if k, e, ok := o.done(r); ok {
			c.done(k, e.Step, e.Last)
		}
		return "done", nil
	case n < 10:
		o.to(c.wall)
		return toggle(r, c, o, k), nil
	case n < 11:
		c.wall += int64(r.IntN(200_000)) - 100_000
		return "jump", tick(c, o)
	case n < 12:
		return "crash", crash(r, c, o)
	default:
		c.wall += int64(r.IntN(3000))
		return "tick", tick(c, o)
	}
}

func tick(c *caller, o *obvious) []string {
	o.to(c.wall)
	want := o.tick()
	c.m.Tick(c.wall)
	return want
}

// toggle closes the conversation for the user, or opens it again.
func toggle(r *rand.Rand, c *caller, o *obvious, k key) string {
	p := o.of[k]
	switch {
	case p == nil:
		return "nothing"
	case !p.closed:
		p.closed = true
		c.lose = r.IntN(3) == 0 // the crash comes before the record
		c.close(k)
		return "close"
	default:
		over := len(p.queued) == 0 && !slices.ContainsFunc(p.unacked(), func(m *plainMessage) bool { return !m.old && slices.Contains(m.fired, false) })
		for _, m := range p.unacked() {
			m.old = m.old || over
		}
		p.closed = false
		c.reopen(k, p.policy)
		return "reopen"
	}
}

// crash lets the machine crash; at times with what it has just decided.
func crash(r *rand.Rand, c *caller, o *obvious) []string {
	c.lose = true
	if r.IntN(2) == 0 {
		return nil
	}
	c.wall += 3000
	o.to(c.wall)
	decided := o.clone()
	want := decided.tick()
	c.m.Tick(c.wall)
	return want // o itself has not fired them
}

// TestJoin: however many messages a recipient does not ack, what is kept of them is bounded, and each is told of once for each step, not late.
func TestJoin(t *testing.T) {
	cfg := Config{Policies: map[string][]Step{"p": {{"hook", 100 * time.Second, "webhook", false}, {"mail", 300 * time.Second, "mail", true}}}}
	c := newCaller(t, cfg)
	k := key{id("c"), "vic"}
	sent := map[uint64]int64{}
	told := map[string]map[uint64]bool{"hook": {}, "mail": {}}
	mails, start := 0, c.wall
	for c.wall < start+2000_000 {
		c.wall += 1000
		if seq := uint64(c.wall-start) / 1000; seq <= 1000 {
			c.sent(k, "p", seq)
			sent[seq] = c.wall
		}
		c.m.Tick(c.wall)
		if n := len(c.m.watches[k].entries); n > maxEntries {
			t.Fatalf("%d entries", n)
		}
		for _, e := range c.take() {
			if e.Kind != Fire {
				continue
			}
			if e.Step == "mail" {
				mails++
			}
			for seq := e.First; seq <= e.Last; seq++ {
				if told[e.Step][seq] {
					t.Fatalf("%s tells twice of %d", e.Step, seq)
				}
				told[e.Step][seq] = true
				if late := c.wall - sent[seq] - map[string]int64{"hook": 100_000, "mail": 300_000}[e.Step]; late > 0 {
					t.Fatalf("%s tells of %d late by %d ms", e.Step, seq, late)
				}
			}
		}
	}
	for step, seqs := range told {
		if len(seqs) != 1000 {
			t.Errorf("%s told of %d messages, want 1000: %v", step, len(seqs), slices.Sorted(maps.Keys(seqs)))
		}
	}
	if mails > 4 {
		t.Errorf("%d mails in 1300 s: joining made digests more frequent", mails)
	}
	if n := len(c.m.watches[k].queued); n > maxQueued {
		t.Errorf("%d notifications are kept", n)
	}
}
