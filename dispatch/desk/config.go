package desk

import (
	"cmp"
	"fmt"
)

// Config says how the desk decides. The zero value gives every group the default: the least active agent, a queue as long as need be.
type Config struct {
	DefaultCapacity int                    // conversations at a time of an agent whose token and status name none; default 5
	OfflineGraceMS  int64                  // an agent who is gone for longer loses what it serves to others; 0: it keeps it
	Groups          map[string]GroupConfig // by name; a group that is not here is as Default says
	Default         GroupConfig
}

// GroupConfig is how one group works.
type GroupConfig struct {
	Strategy        Strategy
	MaxQueue        int     // conversations that wait; beyond them the fallback gets who comes, else it is refused; 0: all that are open may wait
	Fallback        string  // group that gets what this one has no room for, or is closed for; empty: none
	AgeMS           int64   // each step of priority counts as having waited this much longer, so that nobody waits for ever; default 60,000
	StickyMS        int64   // a visitor who comes back within this time gets the last agent if it is free; 0: off
	FirstReply      Timer   // from the assignment on, until the agent writes
	IdleAgent       Timer   // from the visitor's first message without an answer on
	IdleVisitor     Timer   // from the agent's last message on, until the visitor writes
	AvoidMS         int64   // an agent does not get back what was taken from it within this time; default 60,000
	Hours           Hours   // when it is open; nil: always
	Outside         Outside // what becomes of who comes when it is not
	RequireLanguage bool    // only agents who speak the visitor's language; else they are merely preferred
}

// Strategy orders the agents who may take a conversation. An agent with more of the preferred skills always goes first.
type Strategy string

// The strategies. Equals go by who was given one longest ago, then by name.
const (
	LeastActive Strategy = "least_active" // the one who serves fewest; the default
	Weighted    Strategy = "weighted"     // the one who serves fewest for its weight: weight 2 serves twice as many
	RoundRobin  Strategy = "round_robin"  // the one who was given one longest ago
	LongestIdle Strategy = "longest_idle" // the one who has had nothing to do for longest; then whose load has not changed for longest
	Manual      Strategy = "manual"       // nobody: agents take from the queue
)

func (c Config) withDefaults() Config {
	c.DefaultCapacity = cmp.Or(c.DefaultCapacity, 5)
	c.Default = c.Default.withDefaults()
	groups := make(map[string]GroupConfig, len(c.Groups))
	for name, g := range c.Groups {
		groups[name] = g.withDefaults()
	}
	c.Groups = groups
	return c
}

func (g GroupConfig) withDefaults() GroupConfig {
	g.Strategy = cmp.Or(g.Strategy, LeastActive)
	g.AgeMS, g.AvoidMS = cmp.Or(g.AgeMS, 60_000), cmp.Or(g.AvoidMS, 60_000)
	g.FirstReply.Then, g.IdleAgent.Then = cmp.Or(g.FirstReply.Then, Requeue), cmp.Or(g.IdleAgent.Then, Requeue)
	g.IdleVisitor.Then = cmp.Or(g.IdleVisitor.Then, CloseQuietly)
	if g.Outside == "" && g.Fallback != "" {
		g.Outside = OutsideFallback
	}
	g.Outside = cmp.Or(g.Outside, OutsideRefuse)
	return g
}

// Validate tells what an operator has to change.
func (c Config) Validate() error {
	if c.DefaultCapacity < 0 {
		return fmt.Errorf("desk: capacity %d: an agent serves at least one conversation; leave it out for 5", c.DefaultCapacity)
	}
	if c.OfflineGraceMS < 0 {
		return fmt.Errorf("desk: the grace of agents who are offline may not be negative; 0 lets them keep what they serve")
	}
	if err := c.Default.validate("default"); err != nil {
		return err
	}
	for name, g := range c.Groups {
		if err := g.validate(name); err != nil {
			return err
		}
		if err := c.followFallback(name, g); err != nil {
			return err
		}
	}
	return c.followFallback("default", c.Default)
}

func (g GroupConfig) validate(name string) error {
	switch g.Strategy {
	case "", LeastActive, Weighted, RoundRobin, LongestIdle, Manual:
	default:
		return fmt.Errorf("desk: group %s: no strategy %q; choose least_active, weighted, round_robin, longest_idle or manual", name, g.Strategy)
	}
	if g.MaxQueue < 0 || g.AgeMS < 0 || g.StickyMS < 0 || g.AvoidMS < 0 {
		return fmt.Errorf("desk: group %s: queue length and times may not be negative", name)
	}
	if err := g.validateOutside(); err != nil {
		return fmt.Errorf("desk: group %s: %w", name, err)
	}
	for which, t := range map[string]Timer{"first reply": g.FirstReply, "idle agent": g.IdleAgent, "idle visitor": g.IdleVisitor} {
		if err := t.validate(); err != nil {
			return fmt.Errorf("desk: group %s: timer of the %s: %w", name, which, err)
		}
	}
	return nil
}

func (g GroupConfig) validateOutside() error {
	falls := g.Hours != nil && (g.Outside == "" || g.Outside == OutsideFallback)
	switch {
	case g.Outside != "" && g.Outside != OutsideRefuse && g.Outside != OutsideFallback && g.Outside != OutsideQueue:
		return fmt.Errorf("no way %q for those who come out of hours; choose refuse, fallback or queue", g.Outside)
	case g.Outside != "" && g.Hours == nil:
		return fmt.Errorf("what happens out of hours (%s) never does, because it has no hours; set them", g.Outside)
	case g.Outside == OutsideFallback && g.Fallback == "":
		return fmt.Errorf("there is no fallback for those who come out of hours; name one, or choose refuse or queue")
	case g.Fallback != "" && g.MaxQueue == 0 && !falls:
		return fmt.Errorf("the fallback %q is never used, because the queue has no maximum, nor is it for those who come out of hours; set one", g.Fallback)
	}
	return nil
}

func (t Timer) validate() error {
	switch {
	case t.WarnMS < 0 || t.AfterMS < 0:
		return fmt.Errorf("a time may not be negative; 0 is off")
	case t.AfterMS > 0 && t.WarnMS >= t.AfterMS:
		return fmt.Errorf("the warning at %d ms would come after the end at %d ms; let it be earlier, or 0", t.WarnMS, t.AfterMS)
	case t.Then != "" && t.Then != Requeue && t.Then != CloseQuietly:
		return fmt.Errorf("no action %q; choose requeue or close", t.Then)
	}
	return nil
}

// followFallback refuses a circle.
func (c Config) followFallback(name string, g GroupConfig) error {
	for range len(c.Groups) + 2 {
		if g.Fallback == "" {
			return nil
		}
		g = c.group(g.Fallback)
	}
	return fmt.Errorf("desk: group %s: its fallbacks lead in a circle; let the last one have none", name)
}

// group returns the configuration of a group.
func (c Config) group(name string) GroupConfig {
	if g, ok := c.Groups[name]; ok {
		return g
	}
	return c.Default
}

// compare orders two agents who are equally skilled; 0 only for the same one.
func (s Strategy) compare(a, b *agent) int {
	var order int
	switch s {
	case Weighted:
		order = cmp.Compare((a.load()+1)*b.weight, (b.load()+1)*a.weight)
	case RoundRobin:
	case LongestIdle:
		order = cmp.Or(cmp.Compare(min(a.load(), 1), min(b.load(), 1)), cmp.Compare(a.sinceMS, b.sinceMS))
	default:
		order = cmp.Compare(a.load(), b.load())
	}
	if order == 0 {
		order = cmp.Compare(a.last, b.last)
	}
	if order == 0 {
		order = cmp.Compare(a.name, b.name)
	}
	return order
}
