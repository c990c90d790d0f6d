package desk

import (
	"cmp"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/switchyard-im/switchyard/frame"
)

var update = flag.Bool("update", false, "write what the desk decides into the scenario files")

// TestScenarios runs testdata/*.txt: a sentence of purpose, then lines of events, each followed by what it decides.
//
//	open CONV GROUP VISITOR AT | restore CONV GROUP VISITOR AT [AGENT] | close CONV
//	up AGENT GROUPS [CAPACITY] | down AGENT | status AGENT STATUS [CAPACITY]
func TestScenarios(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scenarios: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) { runScript(t, file) })
	}
}

func runScript(t *testing.T, file string) {
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	d := New(2)
	var got strings.Builder
	for line := range strings.Lines(string(text)) {
		line = strings.TrimRight(line, "\n")
		if strings.HasPrefix(line, "  ") {
			continue // a decision as it was
		}
		fmt.Fprintln(&got, line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		event(t, d, strings.Fields(line))
		if err := d.Check(); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		for _, a := range d.Take() {
			fmt.Fprintf(&got, "  %s takes %s\n", a.Agent, name(a.Conv))
		}
	}
	if *update {
		if err := os.WriteFile(file, []byte(got.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	} else if got.String() != string(text) {
		t.Errorf("%s: got\n%s", file, got.String())
	}
}

func event(t *testing.T, d *Desk, w []string) {
	at := func(i int) string {
		if i < len(w) {
			return w[i]
		}
		return ""
	}
	num := func(i int) int { n, _ := strconv.Atoi(at(i)); return n }
	switch w[0] {
	case "open":
		d.Opened(id(at(1)), at(2), at(3), int64(num(4)))
	case "restore":
		d.Restore(id(at(1)), at(2), at(3), at(5), int64(num(4)))
	case "close":
		d.Closed(id(at(1)))
	case "up":
		d.AgentUp(at(1), strings.Split(at(2), ","), num(3))
	case "down":
		d.AgentDown(at(1))
	case "status":
		d.Status(at(1), map[string]frame.AgentStatus{"online": frame.AgentOnline, "away": frame.AgentAway, "offline": frame.AgentOffline}[at(2)], num(3))
	default:
		t.Fatalf("no event %q", w[0])
	}
}

func id(name string) (id frame.ID) {
	copy(id[:], name)
	return id
}

func name(id frame.ID) string { return strings.TrimRight(string(id[:]), "\x00") }

// TestRandom compares the desk with the obvious one: lists that are searched from the beginning.
func TestRandom(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	for round := range 50 {
		d, o := New(2), &obvious{capacity: 2, agents: map[string]*plainAgent{}}
		for step := range 400 {
			events := randomEvent(r)
			event(t, d, events)
			o.event(events)
			if err := d.Check(); err != nil {
				t.Fatalf("seed %d round %d step %d: %v", seed, round, step, err)
			}
			got := slices.Clone(d.Take())
			if want := o.take(); !slices.Equal(got, want) {
				t.Fatalf("seed %d round %d step %d %v: got %v, want %v", seed, round, step, events, got, want)
			}
		}
	}
}

func randomEvent(r *rand.Rand) []string {
	conv := fmt.Sprintf("c%02d", r.IntN(60))
	agent := fmt.Sprintf("a%d", r.IntN(5))
	groups := []string{"g", "h", "g,h"}[r.IntN(3)]
	switch r.IntN(8) {
	case 0, 1, 2:
		visitor := fmt.Sprintf("v%d", r.IntN(9))
		if r.IntN(5) == 0 {
			visitor = agent
		}
		return []string{"open", conv, groups[:1], visitor, strconv.Itoa(r.IntN(100))}
	case 3, 4:
		return []string{"close", conv}
	case 5:
		return []string{"up", agent, groups, strconv.Itoa(r.IntN(4))}
	case 6:
		return []string{"down", agent}
	default:
		return []string{"status", agent, []string{"online", "away", "offline"}[r.IntN(3)], strconv.Itoa(r.IntN(4))}
	}
}

// obvious is the model.
type obvious struct {
	capacity  int
	agents    map[string]*plainAgent
	convs     []*plainConv
	decisions int
	out       []Assignment
}

type plainAgent struct {
	groups             []string
	up, online         bool
	capacity, load, at int
}

type plainConv struct {
	name, group, visitor, agent string
	at                          int
	reason                      Reason
}

func (o *obvious) take() []Assignment {
	out := o.out
	o.out = nil
	return out
}

func (o *obvious) event(w []string) {
	num := func(i int) int {
		if i >= len(w) {
			return 0
		}
		n, _ := strconv.Atoi(w[i])
		return n
	}
	switch w[0] {
	case "open":
		o.open(w[1], w[2], w[3], num(4))
	case "close":
		o.close(w[1])
	case "up":
		a := o.agent(w[1])
		if !a.up {
			a.up, a.online = true, true
		}
		a.groups, a.capacity = strings.Split(w[2], ","), cmp.Or(num(3), a.capacity)
		o.fill(w[1])
	case "down":
		if a := o.agents[w[1]]; a != nil {
			a.up = false
			o.drop(w[1])
		}
	case "status":
		if a := o.agents[w[1]]; a != nil {
			a.online, a.capacity = w[2] == "online", cmp.Or(num(3), a.capacity)
			o.fill(w[1])
		}
	}
}

func (o *obvious) agent(name string) *plainAgent {
	if o.agents[name] == nil {
		o.agents[name] = &plainAgent{}
	}
	return o.agents[name]
}

func (o *obvious) drop(name string) {
	if a := o.agents[name]; !a.up && a.load == 0 {
		delete(o.agents, name)
	}
}

func (o *obvious) open(name, group, visitor string, at int) {
	for _, c := range o.convs {
		if c.name == name {
			if c.agent != "" {
				o.out = append(o.out, Assignment{id(name), c.agent, c.reason})
			}
			return
		}
	}
	c := &plainConv{name: name, group: group, visitor: visitor, at: at}
	o.convs = append(o.convs, c)
	best := ""
	for _, n := range o.names() {
		a := o.agents[n]
		if !o.may(n, c) {
			continue
		}
		if b := o.agents[best]; best == "" || a.load < b.load || a.load == b.load && a.at < b.at {
			best = n
		}
	}
	if best != "" {
		o.give(c, best, LeastActive)
	}
}

func (o *obvious) names() []string {
	var names []string
	for n := range o.agents {
		names = append(names, n)
	}
	slices.Sort(names)
	return names
}

func (o *obvious) may(name string, c *plainConv) bool {
	a := o.agents[name]
	return a.up && a.online && a.load < cmp.Or(a.capacity, o.capacity) && slices.Contains(a.groups, c.group) && name != c.visitor
}

func (o *obvious) give(c *plainConv, name string, why Reason) {
	o.decisions++
	c.agent, c.reason = name, why
	o.agents[name].load++
	o.agents[name].at = o.decisions
	o.out = append(o.out, Assignment{id(c.name), name, why})
}

func (o *obvious) close(name string) {
	i := slices.IndexFunc(o.convs, func(c *plainConv) bool { return c.name == name })
	if i < 0 {
		return
	}
	agent := o.convs[i].agent
	o.convs = slices.Delete(o.convs, i, i+1)
	if agent != "" {
		o.agents[agent].load--
		o.fill(agent)
		o.drop(agent)
	}
}

func (o *obvious) fill(name string) {
	for {
		var next *plainConv
		for _, c := range o.convs {
			if c.agent == "" && o.may(name, c) && (next == nil || c.at < next.at || c.at == next.at && c.name < next.name) {
				next = c
			}
		}
		if next == nil {
			return
		}
		o.give(next, name, NextInQueue)
	}
}

func BenchmarkDecision(b *testing.B) {
	d := New(1 << 30)
	for i := range 100 {
		d.AgentUp(fmt.Sprintf("a%d", i), []string{"g"}, 0)
	}
	var conv frame.ID
	for i := 0; b.Loop(); i++ {
		copy(conv[:], fmt.Sprintf("%d", i))
		d.Opened(conv, "g", "v", int64(i))
		d.Take()
	}
}
