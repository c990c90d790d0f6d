package desk

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestRandom compares the desk with the obvious one, step by step: 20,000 random steps in rounds that begin empty.
func TestRandom(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	happened := map[string]int{}
	for round := range 50 {
		cfg := randomConfig(r)
		if err := cfg.Validate(); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		d, o, now := New(cfg), newObvious(cfg), int64(0)
		for step := range 400 {
			e := randomEvent(r, &now)
			switch n := r.IntN(4); { // some days agents are free and visitors come back, on others all talk
			case e.word(0) == "tick":
			case n == 0 && round%2 == 1:
				e = parseEvent(fmt.Sprintf("close c%02d", r.IntN(40)))
			case n == 0:
				e = parseEvent(fmt.Sprintf("wrote c%02d %s", r.IntN(12), pick(r, "agent", "visitor")))
			}
			want, got := o.apply(e), apply(t, d, e)
			if err := d.Check(); err != nil {
				t.Fatalf("seed %d round %d step %d %v: %v", seed, round, step, e, err)
			}
			if !slices.Equal(got, want) {
				t.Fatalf("seed %d round %d step %d %v: got\n%s\nwant\n%s", seed, round, step, e, strings.Join(got, "\n"), strings.Join(want, "\n"))
			}
			for _, line := range got {
				line, opens, ok := strings.Cut(line, ", opens ")
				happened[line[strings.LastIndex(line, ":")+1:]]++
				if ok && opens != "" {
					happened["opens"]++
				}
			}
			if len(o.convs) == 0 {
				continue
			}
			c := o.convs[r.IntN(len(o.convs))]
			if got, want := explained(d, c.name), o.explained(c); !slices.Equal(got, want) {
				t.Fatalf("seed %d round %d step %d %v: explained\n%s\nwant\n%s", seed, round, step, e, strings.Join(got, "\n"), strings.Join(want, "\n"))
			}
			if got, want := queueNames(d, "g"), o.queueNames("g"); !slices.Equal(got, want) {
				t.Fatalf("seed %d round %d step %d %v: the queue is %v, want %v", seed, round, step, e, got, want)
			}
			if strings.Count(strings.Join(c.decided, ""), "+") > len(c.decided) {
				happened["several candidates"]++
			}
		}
	}
	if happened["opens"] == 0 {
		t.Errorf("seed %d: nobody was told when a group opens", seed)
	}
	if happened["several candidates"] == 0 {
		t.Errorf("seed %d: no decision had two candidates", seed)
	}
	for _, why := range []Reason{"least_active", "weighted", "round_robin", "longest_idle", NextInQueue, LastAgent, Claimed, QueueFull, OutOfHours, Transferred, NoFirstReply, AgentIdle, VisitorIdle, AgentGone} {
		if happened[" "+string(why)] == 0 {
			t.Errorf("seed %d: %s never happened", seed, why)
		}
	}
}

func randomConfig(r *rand.Rand) Config {
	cfg := Config{DefaultCapacity: 2, Groups: map[string]GroupConfig{}, OfflineGraceMS: int64(r.IntN(2) * r.IntN(200))}
	for _, name := range []string{"g", "h"} {
		cfg.Groups[name] = GroupConfig{
			Strategy:   []Strategy{LeastActive, Weighted, RoundRobin, LongestIdle, Manual}[r.IntN(5)],
			FirstReply: randomTimer(r), IdleAgent: randomTimer(r), IdleVisitor: randomTimer(r), AvoidMS: int64(1 + r.IntN(100)), MaxQueue: r.IntN(12), AgeMS: int64(r.IntN(40)), StickyMS: int64(r.IntN(3000)), RequireLanguage: r.IntN(2) == 0,
		}
	}
	for _, name := range []string{"g", "h"} {
		g := cfg.Groups[name]
		if r.IntN(3) == 0 {
			period := int64(1 + r.IntN(400))
			g.Hours, g.Outside = shift{period * int64(r.IntN(4)) / 4, period}, []Outside{"", OutsideRefuse, OutsideQueue}[r.IntN(3)]
		}
		if name == "g" && (g.MaxQueue > 0 || g.Hours != nil && g.Outside == "") && r.IntN(2) == 0 {
			g.Fallback = "h"
		}
		cfg.Groups[name] = g
	}
	return cfg
}

func randomTimer(r *rand.Rand) (t Timer) {
	if r.IntN(3) > 0 {
		t.WarnMS = int64(r.IntN(2) * (1 + r.IntN(100)))
	}
	if r.IntN(3) > 0 {
		t.AfterMS = t.WarnMS + 1 + int64(r.IntN(100))
	}
	t.Then = Action(pick(r, "", "requeue", "close"))
	return t
}

func pick(r *rand.Rand, from ...string) string { return from[r.IntN(len(from))] }

func randomEvent(r *rand.Rand, now *int64) scripted {
	conv, agent := fmt.Sprintf("c%02d", r.IntN(40)), fmt.Sprintf("a%d", r.IntN(6))
	capacity := fmt.Sprintf("capacity=%d", r.IntN(4))
	switch r.IntN(13) {
	case 0, 1, 2:
		visitor := fmt.Sprintf("v%d", r.IntN(4))
		if r.IntN(6) == 0 {
			visitor = agent
		}
		need := pick(r, "", "", "need=x", "need=y,x", "like=x", "like=x,y need=z", "language=de", "language=fr like=x")
		return parseEvent(fmt.Sprintf("open %s %s %s %d priority=%d %s", conv, pick(r, "g", "h"), visitor, *now-int64(r.IntN(50)), r.IntN(3), need))
	case 3, 4:
		return parseEvent("close " + conv)
	case 5:
		return parseEvent(fmt.Sprintf("up %s %s %s weight=%d skills=%s languages=%s", agent, pick(r, "g", "h", "g,h"), capacity, r.IntN(4),
			pick(r, "", "x", "y", "x,y", "x,y,z"), pick(r, "", "de", "fr", "de,fr")))
	case 6:
		return parseEvent("down " + agent)
	case 7:
		return parseEvent(fmt.Sprintf("status %s %s %s", agent, pick(r, "online", "online", "away", "offline", "busy"), capacity))
	case 8:
		return parseEvent(fmt.Sprintf("claim %s %s", conv, agent))
	case 9:
		to := pick(r, "", "", " front=1", " group=g", " group=h front=1", " agent="+agent, " agent="+agent, " group=h agent="+agent)
		return parseEvent("transfer " + conv + to)
	case 10, 11:
		conv = fmt.Sprintf("c%02d", r.IntN(12))
		of := pick(r, "", "", "", " of="+agent)
		return parseEvent(pick(r, "wrote "+conv+" agent", "wrote "+conv+" visitor", "hold "+conv+" on", "hold "+conv+" off") + of)
	default:
		*now += int64(r.IntN(30))
		return parseEvent(fmt.Sprintf("tick %d", *now))
	}
}

// queueNames lists a queue by the places that the desk tells.
func queueNames(d *Desk, group string) []string {
	names := make([]string, d.Snapshot(group, 0).Total)
	for id := range d.convs {
		if p, ok := d.Place(id); ok && p.Group == group {
			names[p.Place-1] = name(id)
		}
	}
	return names
}

func (o *obvious) queueNames(group string) []string {
	names := []string{}
	for _, c := range slices.SortedFunc(slices.Values(o.convs), func(a, b *plainConv) int {
		if o.before(a, b) {
			return -1
		}
		return 1
	}) {
		if c.agent == "" && c.Group == group {
			names = append(names, c.name)
		}
	}
	return names
}
