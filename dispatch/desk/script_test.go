package desk

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/switchyard-im/switchyard/dispatch/hours"
	"github.com/switchyard-im/switchyard/dispatch/internal/scenario"
	"github.com/switchyard-im/switchyard/frame"
)

// TestScenarios runs testdata/*.txt: a sentence of purpose, then lines of events, each followed by what it decides.
//
//	config grace=MS | config group=NAME OPTION=VALUE ...  (before the first event; a timer is WARN,AFTER,ACTION; hours have _ for spaces)
//	tick NOW
//	open CONV GROUP VISITOR AT [OPTIONS] | restore CONV GROUP VISITOR AT [agent=AGENT waits=N since=TIME] [OPTIONS] | close CONV
//	up AGENT GROUPS [capacity=N] [weight=N] [skills=S,S] [languages=L,L] | down AGENT | status AGENT STATUS [capacity=N]
//	claim CONV AGENT | why CONV | transfer CONV [group=GROUP] [agent=AGENT] [front=1]
//	wrote CONV agent|visitor [of=AGENT] | hold CONV on|off [of=AGENT]: of whom its shard had as its agent; else who is
//	places | watch GROUP | unwatch GROUP | snapshot GROUP LIMIT | agents GROUP | forget USER
//
// Times are milliseconds, or as in 2026-11-23T09:00:00+01:00. The options of a conversation are priority=N, need=S,S, like=S,S and language=L.
func TestScenarios(t *testing.T) {
	scenario.Lines(t, func(t *testing.T) func(string) []string {
		cfg := Config{DefaultCapacity: 2, Groups: map[string]GroupConfig{}}
		var d *Desk
		return func(line string) []string {
			e := parseEvent(line)
			if e.word(0) == "config" {
				if d != nil {
					t.Fatalf("%s: after the first event", line)
				}
				configure(t, &cfg, e)
				return nil
			}
			if d == nil {
				d = New(cfg)
			}
			answers := append(apply(t, d, e), changes(d)...)
			if err := d.Check(); err != nil {
				t.Fatalf("%s: %v", line, err)
			}
			return answers
		}
	})
}

// scripted is an event as words and options.
type scripted struct {
	words   []string
	options map[string]string
}

func parseEvent(line string) scripted {
	e := scripted{options: map[string]string{}}
	for _, w := range strings.Fields(line) {
		if key, value, ok := strings.Cut(w, "="); ok {
			e.options[key] = value
		} else {
			e.words = append(e.words, w)
		}
	}
	return e
}

func (e scripted) word(i int) string {
	if i < len(e.words) {
		return e.words[i]
	}
	return ""
}

// number is a number, or a date and time.
func (e scripted) number(i int) int64 {
	if at, err := time.Parse(time.RFC3339, e.word(i)); err == nil {
		return at.UnixMilli()
	}
	n, _ := strconv.ParseInt(e.word(i), 10, 64)
	return n
}

func (e scripted) option(key string) int { n, _ := strconv.Atoi(e.options[key]); return n }

// of is whom the shard had as the agent of a conversation.
func (e scripted) of(d *Desk) string {
	if c := d.convs[id(e.word(1))]; e.options["of"] == "" && c != nil && c.agent != nil {
		return c.agent.name
	}
	return e.options["of"]
}

func (e scripted) list(key string) []string {
	if e.options[key] == "" {
		return nil
	}
	return strings.Split(e.options[key], ",")
}

func configure(t *testing.T, cfg *Config, e scripted) {
	t.Helper()
	if e.options["group"] == "" {
		cfg.OfflineGraceMS = int64(e.option("grace"))
		return
	}
	timer := func(key string) (t Timer) {
		if text := e.options[key]; text != "" {
			if n, _ := fmt.Sscanf(text, "%d,%d,%s", &t.WarnMS, &t.AfterMS, &t.Then); n < 2 {
				t.AfterMS = 0
			}
		}
		return t
	}
	g := GroupConfig{
		FirstReply: timer("first"), IdleAgent: timer("agent"), IdleVisitor: timer("visitor"), AvoidMS: int64(e.option("avoid")),
		Strategy: Strategy(e.options["strategy"]), MaxQueue: e.option("max"), Fallback: e.options["fallback"], AgeMS: int64(e.option("age")),
		StickyMS: int64(e.option("sticky")), RequireLanguage: e.options["language"] == "required",
	}
	if text := e.options["hours"]; text != "" {
		h, err := hours.Parse(strings.ReplaceAll(text, "_", " "))
		if err != nil {
			t.Fatal(err)
		}
		g.Hours, g.Outside = h, Outside(e.options["outside"])
	}
	cfg.Groups[e.options["group"]] = g
	for key := range e.options {
		switch key {
		case "group", "strategy", "max", "fallback", "age", "sticky", "language", "first", "agent", "visitor", "avoid", "hours", "outside":
		default:
			t.Fatalf("no option %q", key)
		}
	}
}

var statuses = map[string]frame.AgentStatus{"online": frame.AgentOnline, "away": frame.AgentAway, "offline": frame.AgentOffline, "busy": frame.AgentBusy}

// apply makes the event happen and returns what the desk answers and decides.
func apply(t *testing.T, d *Desk, e scripted) (answers []string) {
	t.Helper()
	switch e.word(0) {
	case "tick":
		d.Tick(e.number(1))
	case "open":
		d.Opened(request(e))
	case "restore":
		d.Restore(request(e), Served{Agent: e.options["agent"], Waits: Waits(e.option("waits")), SinceMS: int64(e.option("since"))})
	case "close":
		d.Closed(id(e.word(1)))
	case "up":
		d.AgentUp(e.word(1), profile(e))
	case "down":
		d.AgentDown(e.word(1))
	case "status":
		d.Status(e.word(1), statuses[e.word(2)], e.option("capacity"))
	case "claim":
		if err := d.Claim(id(e.word(1)), e.word(2)); err != nil {
			answers = append(answers, err.Error())
		}
	case "transfer":
		if err := d.Transfer(id(e.word(1)), Target{Group: e.options["group"], Agent: e.options["agent"], Front: e.option("front") == 1}); err != nil {
			answers = append(answers, err.Error())
		}
	case "wrote":
		d.Wrote(id(e.word(1)), e.of(d), e.word(2) == "agent")
	case "hold":
		d.Hold(id(e.word(1)), e.of(d), e.word(2) == "on")
	case "places":
		d.Places(func(p Place) {
			answers = append(answers, fmt.Sprintf("%s is %d of %d in %s, expected wait %d", name(p.Conv), p.Place, p.Of, p.Group, p.WaitMS))
		})
	case "watch":
		d.Watch(e.word(1))
	case "unwatch":
		d.Unwatch(e.word(1))
	case "snapshot":
		s := d.Snapshot(e.word(1), int(e.number(2)))
		answers = append(answers, fmt.Sprintf("%s, version %d, %d wait:%s", s.Group, s.Version, s.Total, entryNames(s.Entries)))
	case "forget":
		d.ForgetUser(e.word(1))
	case "agents":
		for _, a := range d.Agents(e.word(1)) {
			answers = append(answers, fmt.Sprintf("%s: connected %v, status %d, manual %v, serves %d, of these here %d, at most %d", a.Name, a.Connected, a.Status, a.Manual, a.Load, a.Here, a.Capacity))
		}
	case "why":
		return explained(d, e.word(1))
	default:
		t.Fatalf("no event %q", e.word(0))
	}
	return append(answers, decided(d)...)
}

func entryNames(entries []Entry) (s string) {
	for _, e := range entries {
		s += " " + name(e.Conv)
	}
	return s
}

func changes(d *Desk) (lines []string) {
	for _, dl := range d.TakeDeltas() {
		lines = append(lines, fmt.Sprintf("%s, version %d: %s %s, %d wait", dl.Group, dl.Version, [...]string{"added", "removed"}[dl.Op], name(dl.Entry.Conv), dl.Total))
	}
	return lines
}

func request(e scripted) Request {
	return Request{
		Conv: id(e.word(1)), Group: e.word(2), Visitor: e.word(3), AtMS: e.number(4), Priority: e.option("priority"),
		Need: Need{Required: e.list("need"), Preferred: e.list("like"), Language: e.options["language"]},
	}
}

func profile(e scripted) Profile {
	return Profile{
		Groups: strings.Split(e.word(2), ","), Capacity: e.option("capacity"), Weight: e.option("weight"),
		Skills: e.list("skills"), Languages: e.list("languages"),
	}
}

func decided(d *Desk) (lines []string) {
	for _, e := range d.Take() {
		lines = append(lines, describe(e.Kind, name(e.Conv), e.Group, e.Agent, e.Reason, e.OpensMS))
	}
	return lines
}

func describe(kind Kind, conv, group, agent string, why Reason, opensMS int64) string {
	if opensMS != 0 {
		return describe(kind, conv, group, agent, why, 0) + ", opens " + clock(opensMS)
	}
	switch kind {
	case Assign:
		return fmt.Sprintf("%s takes %s of %s: %s", agent, conv, group, why)
	case Queue:
		return fmt.Sprintf("%s waits in %s: %s", conv, group, why)
	case Refuse:
		return fmt.Sprintf("%s is refused by %s: %s", conv, group, why)
	case Warn:
		return fmt.Sprintf("%s with %s in %s is warned: %s", conv, agent, group, why)
	case Close:
		return fmt.Sprintf("%s with %s in %s is to be closed: %s", conv, agent, group, why)
	}
	return fmt.Sprintf("kind %d", kind)
}

// clock writes a time of a scenario as those are written.
func clock(ms int64) string {
	if ms < year {
		return strconv.FormatInt(ms, 10)
	}
	return time.UnixMilli(ms).UTC().Format(time.RFC3339)
}

// year is more than any scenario has milliseconds that does not write its times as dates.
const year = 365 * 24 * 3600_000

func explained(d *Desk, conv string) (lines []string) {
	decisions, _ := d.Explain(id(conv))
	for _, e := range decisions {
		lines = append(lines, e.describe(conv))
	}
	return lines
}

func (e Decision) describe(conv string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "at %d: %s (%s); waited %d, beside %d; of %d agents %d able, %d free:", e.AtMS, describe(e.Kind, conv, e.Group, e.Agent, e.Reason, 0), e.Strategy,
		e.WaitedMS, e.Waiting, e.Members, e.Able, e.Free)
	for _, c := range e.Candidates {
		fmt.Fprintf(&b, " %s %d/%d+%d", c.Agent, c.Load, c.Capacity, c.Preferred)
	}
	return b.String()
}

func id(name string) (id frame.ID) {
	copy(id[:], name)
	return id
}

func name(id frame.ID) string { return strings.TrimRight(string(id[:]), "\x00") }
