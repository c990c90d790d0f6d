package desk

import (
	"bytes"
	"cmp"
	"slices"
)

// maxLanes bounds the kinds of needs that wait in one group. A kind that nobody waits with makes room for a new one; if there is none,
// who brings the new one is treated as if the queue were full.
const maxLanes = 256

// Need is what a conversation asks of an agent.
type Need struct {
	Required  []string // skills that the agent must have
	Preferred []string // skills of which more are better
	Language  string   // empty: any
}

// lane holds the conversations of a group that need the same, in their order, and the free agents who have it, in theirs. So both directions
// of a decision look at one end of a tree. It costs a free agent one place in a tree for each lane that it could serve.
type lane struct {
	group   *group
	key     string
	need    Need // of its own: the language is among the skills, as "language:" and its name
	waiting tree[*conversation]
	free    tree[*seat]
	early   int    // conversations beside those that wait, until the group opens
	seats   int    // agents who could serve it, free or not
	used    uint64 // decisions when it was last asked for
}

// seat is the place of an agent in a lane that it could serve.
type seat struct {
	node[*seat]
	agent     *agent
	lane      *lane
	preferred int // preferred skills that it has
}

const language = "language:"

// lane returns the group's lane for the need; nil if there is no room for one more kind, which force overrides.
func (d *Desk) lane(g *group, n *Need, force bool) *lane {
	key := d.laneKey(n)
	l := g.lanes[string(key)]
	if l == nil {
		if len(g.lanes) >= maxLanes && !g.dropLane() && !force {
			return nil
		}
		l = g.newLane(string(key), n)
	}
	l.used = d.decisions
	return l
}

// laneKey is the same for needs that only differ in the order of skills; it is borrowed until the next call.
func (d *Desk) laneKey(n *Need) []byte {
	k := append(d.key[:0], n.Language...)
	for _, skills := range [][]string{n.Required, n.Preferred} {
		k = append(k, 1)
		if !slices.IsSorted(skills) {
			skills = slices.Sorted(slices.Values(skills))
		}
		for _, s := range skills {
			k = append(append(k, s...), 0)
		}
	}
	d.key = k
	return k
}

func (g *group) newLane(key string, n *Need) *lane {
	l := &lane{group: g, key: key, need: Need{Required: slices.Clone(n.Required), Preferred: slices.Clone(n.Preferred)}}
	switch {
	case n.Language == "":
	case g.cfg.RequireLanguage:
		l.need.Required = append(l.need.Required, language+n.Language)
	default:
		l.need.Preferred = append(l.need.Preferred, language+n.Language)
	}
	l.waiting.compare = before
	l.free.compare = func(a, b *seat) int {
		if order := cmp.Compare(b.preferred, a.preferred); order != 0 {
			return order
		}
		return g.cfg.Strategy.compare(a.agent, b.agent)
	}
	g.lanes[key] = l
	for a := range g.agents {
		a.sit(l)
	}
	return l
}

// dropLane forgets the lane that was not asked for since longest and that nobody waits in; false if there is none.
func (g *group) dropLane() bool {
	var old *lane
	for _, l := range g.lanes {
		if l.waiting.len()+l.early == 0 && (old == nil || cmp.Or(cmp.Compare(l.used, old.used), cmp.Compare(l.key, old.key)) < 0) {
			old = l
		}
	}
	if old == nil {
		return false
	}
	for a := range g.agents {
		a.leave(old)
	}
	delete(g.lanes, old.key)
	return true
}

// sit gives the agent a seat in the lane if it has what is required.
func (a *agent) sit(l *lane) {
	for _, s := range l.need.Required {
		if !a.has(s) {
			return
		}
	}
	s := &seat{agent: a, lane: l}
	s.value = s
	for _, p := range l.need.Preferred {
		if a.has(p) {
			s.preferred++
		}
	}
	l.seats++
	a.seats = append(a.seats, s)
	if a.offered {
		l.free.insert(&s.node)
	}
}

// leave gives up the agent's seat in the lane.
func (a *agent) leave(l *lane) {
	a.seats = slices.DeleteFunc(a.seats, func(s *seat) bool {
		if s.lane == l {
			s.end()
		}
		return s.lane == l
	})
}

// seat returns the agent's seat in the lane, nil if it has none.
func (a *agent) seat(l *lane) *seat {
	for _, s := range a.seats {
		if s.lane == l {
			return s
		}
	}
	return nil
}

func (s *seat) end() {
	s.lane.seats--
	if s.in() {
		s.lane.free.remove(&s.node)
	}
}

// before orders the conversations of a queue: those that were put back to its front, then by the time since which they count as waiting,
// then by id, so that the order does not depend on chance.
func before(a, b *conversation) int {
	if a.front != b.front {
		if a.front {
			return -1
		}
		return 1
	}
	if order := cmp.Compare(a.rankMS(), b.rankMS()); order != 0 {
		return order
	}
	return bytes.Compare(a.id[:], b.id[:])
}
