package desk

import (
	"cmp"
	"slices"

	"github.com/switchyard-im/switchyard/frame"
)

// AgentState is what others see of an agent.
type AgentState struct {
	Name      string
	Connected bool
	Status    frame.AgentStatus // of one who is not connected: offline
	Manual    bool              // a person set the status, so it stays when devices come and go
	Load      int               // conversations that it serves, of all groups
	Here      int               // of these, those of the group that is asked for
	Capacity  int
}

// Agents returns the agents of a group by name: those who are connected, and those who are not and still serve a conversation of it.
func (d *Desk) Agents(group string) []AgentState {
	g := d.groups[group]
	if g == nil {
		return nil
	}
	list := make([]AgentState, 0, len(g.agents))
	for a := range g.agents {
		list = append(list, d.show(a, g))
	}
	for _, a := range d.agents {
		if !a.up && a.load() > 0 {
			if seen := d.show(a, g); seen.Here > 0 {
				list = append(list, seen)
			}
		}
	}
	slices.SortFunc(list, func(a, b AgentState) int { return cmp.Compare(a.Name, b.Name) })
	return list
}

// Agent returns one agent, as it were in no group; false if the desk does not know it.
func (d *Desk) Agent(name string) (AgentState, bool) {
	a := d.agents[name]
	if a == nil {
		return AgentState{}, false
	}
	return d.show(a, nil), true
}

func (d *Desk) show(a *agent, g *group) AgentState {
	s := AgentState{Name: a.name, Connected: a.up, Status: a.status, Manual: a.manual, Load: a.load(), Capacity: d.capacity(a)}
	if !a.up {
		s.Status = frame.AgentOffline
	}
	for _, c := range a.convs {
		if c.group == g {
			s.Here++
		}
	}
	return s
}
