package main

import (
	"encoding/json"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/switchyard-im/switchyard/dispatch/auth"
	"github.com/switchyard-im/switchyard/frame"
)

// groupsFile has a group for each test of TestGroups. Those with hours are open for an hour in the year 2099.
const groupsFile = `
offline_grace: 1s
groups:
  late: {first_reply: {warn: 1s, after: 2s}}
  idle: {idle_visitor: {warn: 1s, after: 2s}, texts: {visitor_idle: are you there?}, reopen: 1h}
  mute: {idle_agent: {after: 1s, then: close}, texts: {agent_idle: sorry}}
  full: {max_queue: 1, fallback: spare, texts: {queue_full: all lines are busy}}
  spare: {max_queue: 1, texts: {queue_full: not this one}}
  own: {strategy: manual}
  shut: {hours: "2099-01-05 10:00-11:00; zone UTC", texts: {out_of_hours: see you}}
  shut-waits: {hours: "2099-01-05 10:00-11:00; zone UTC", outside: queue, texts: {out_of_hours: please wait}}
  shut-falls: {hours: "2099-01-05 10:00-11:00; zone UTC", fallback: open}
  open: {}
  gone: {}
  tax: {}
  words: {require_language: true}
`

var opens2099 = float64(time.Date(2099, 1, 5, 10, 0, 0, 0, time.UTC).UnixMilli())

// TestGroups: what routing.file says of a group happens to the conversations of real clients.
func TestGroups(t *testing.T) {
	i := newInstallation(t, "--set", "routing.file="+write(t, "routing.yaml", groupsFile))
	p, _ := i.start()
	t.Run("group", func(t *testing.T) { // waits for those that run at the same time
		for name, test := range map[string]func(*groupTest){
			"a late agent loses it":       (*groupTest).lateAgent,
			"an idle visitor is closed":   (*groupTest).idleVisitor,
			"an idle agent":               (*groupTest).idleAgent,
			"a full queue":                (*groupTest).fullQueue,
			"agents claim":                (*groupTest).manual,
			"out of hours: refused":       (*groupTest).refusedOutOfHours,
			"out of hours: it waits":      (*groupTest).waitsOutOfHours,
			"out of hours: another group": (*groupTest).fallsBackOutOfHours,
			"an agent who is gone":        (*groupTest).goneAgent,
			"skills":                      (*groupTest).skills,
			"languages":                   (*groupTest).languages,
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				of := *i
				of.t = t
				test(&groupTest{t, &of})
			})
		}
	})
	p.signal(syscall.SIGKILL) // it has nothing to keep, and its clients do not leave
}

type groupTest struct {
	*testing.T
	i *installation
}

// user connects somebody with a token that says so.
func (g *groupTest) user(id auth.Identity) *wire {
	g.Helper()
	key, err := auth.LoadKey("", filepath.Join(g.i.dir, devKeyFile))
	if err != nil {
		g.Fatal(err)
	}
	id.Expires = time.Now().Add(time.Hour)
	token, err := key.Sign(id, time.Now())
	if err != nil {
		g.Fatal(err)
	}
	w := g.i.connect()
	w.frames((&frame.Hello{Ref: 1, Token: []byte(token)}).Append(nil))
	w.expect(frame.TypeWelcome)
	return w
}

func (g *groupTest) visitor(name string) *wire {
	g.Helper()
	return g.user(auth.Identity{User: name, Role: frame.RoleVisitor})
}

// agent connects one, and waits until the desk knows it: what it decides for the next status comes after it.
func (g *groupTest) agent(name string, groups ...string) *wire {
	g.Helper()
	return g.agentWith(auth.Identity{User: name, Groups: groups})
}

func (g *groupTest) agentWith(id auth.Identity) *wire {
	g.Helper()
	id.Role = frame.RoleAgent
	w := g.user(id)
	w.frames((&frame.Watch{Ref: 5, Group: []byte(id.Groups[0]), Limit: 1}).Append(nil))
	w.expect(frame.TypeQueue) // the desk answers in the order in which it hears
	return w
}

// opens opens a conversation in a group.
func (w *wire) opens(group string, key byte, details map[string]any) frame.ID {
	w.t.Helper()
	o := frame.Open{Ref: 2, Key: frame.ID{15: key}, Group: []byte(group)}
	if details != nil {
		var err error
		if o.Details, err = frame.AppendBody(nil, details); err != nil {
			w.t.Fatal(err)
		}
	}
	w.frames(o.Append(nil))
	var c frame.Conversation
	if err := c.Parse(w.expect(frame.TypeConversation)); err != nil {
		w.t.Fatal(err)
	}
	return c.Conv
}

// happens skips to an event of the conversation and returns its entries.
func (w *wire) happens(conv frame.ID, event string) map[string]any {
	w.t.Helper()
	for {
		f := w.expect(frame.TypeMessage)
		var m frame.Message
		if err := m.Parse(f); err != nil {
			w.t.Fatal(err)
		}
		if m.Conv != conv || m.Kind != frame.KindEvent {
			continue
		}
		text, err := frame.AppendJSON(nil, f)
		if err != nil {
			w.t.Fatal(err)
		}
		var frames [][]json.RawMessage
		var e map[string]any
		if err := json.Unmarshal(text, &frames); err != nil {
			w.t.Fatal(err)
		}
		if err := json.Unmarshal(frames[0][len(frames[0])-1], &e); err != nil {
			w.t.Fatalf("%s: %v", text, err)
		}
		if e["event"] == event {
			return e
		}
	}
}

// entries checks those of an event; nil: it has none of that name.
func (g *groupTest) entries(e map[string]any, want map[string]any) {
	g.Helper()
	for name, value := range want {
		if e[name] != value {
			g.Errorf("%v: %s is %v, want %v", e, name, e[name], value)
		}
	}
}

func (g *groupTest) lateAgent() {
	g.agent("late-ann", "late")
	g.agent("late-bob", "late")
	v := g.visitor("late-vic")
	conv := v.opens("late", 1, nil)
	first := v.happens(conv, "assigned")["agent"]
	g.entries(v.happens(conv, "warned"), map[string]any{"reason": "no_first_reply", "agent": first})
	next := v.happens(conv, "assigned")
	g.entries(next, map[string]any{"reason": "no_first_reply", "from": first})
	if next["agent"] == first {
		g.Errorf("%v has it again", first)
	}
}

func (g *groupTest) idleVisitor() {
	a, v := g.agent("idle-ann", "idle"), g.visitor("idle-vic")
	conv := v.opens("idle", 1, nil)
	v.happens(conv, "assigned")
	a.replies(conv)
	g.entries(v.happens(conv, "warned"), map[string]any{"reason": "visitor_idle", "agent": "idle-ann"})
	g.entries(v.happens(conv, "closed"), map[string]any{"reason": "visitor_idle", "text": "are you there?", "by": nil})
	v.frames((&frame.Reopen{Ref: 8, Conv: conv}).Append(nil))
	v.expect(frame.TypeAck)
	g.entries(v.happens(conv, "assigned"), map[string]any{"agent": "idle-ann"})
}

// replies makes an agent who has just got a conversation say something.
func (w *wire) replies(conv frame.ID) {
	w.t.Helper()
	w.frames((&frame.Resume{Ref: 6, Conv: conv}).Append(nil))
	w.expect(frame.TypeResumed)
	w.frames((&frame.Send{Ref: 7, Conv: conv, Level: 2, ID: frame.ID{1}, Body: frame.AppendText(nil, "hello")}).Append(nil))
	w.expect(frame.TypeAck)
}

func (g *groupTest) idleAgent() {
	a, v := g.agent("mute-ann", "mute"), g.visitor("mute-vic")
	conv := v.opens("mute", 1, nil)
	v.happens(conv, "assigned")
	a.replies(conv)
	v.frames((&frame.Send{Ref: 7, Conv: conv, Level: 2, ID: frame.ID{1}, Body: frame.AppendText(nil, "why?")}).Append(nil))
	g.entries(v.happens(conv, "closed"), map[string]any{"reason": "agent_idle", "text": "sorry", "by": nil})
}

func (g *groupTest) fullQueue() {
	v := g.visitor("full-vic")
	v.opens("full", 1, nil)
	g.entries(v.happens(v.opens("full", 2, nil), "queued"), map[string]any{"group": "spare", "reason": "queue_full"})
	g.entries(v.happens(v.opens("full", 3, nil), "closed"), map[string]any{"reason": "queue_full", "text": "all lines are busy", "opens_ms": nil})
}

func (g *groupTest) manual() {
	a, b, v := g.agent("own-ann", "own"), g.agent("own-bob", "own"), g.visitor("own-vic")
	conv := v.opens("own", 1, nil)
	v.expect(frame.TypePosition) // it waits although two are free
	b.frames((&frame.Claim{Ref: 6, Conv: conv}).Append(nil))
	b.expect(frame.TypeAck)
	g.entries(v.happens(conv, "assigned"), map[string]any{"agent": "own-bob", "reason": "claimed"})
	a.frames((&frame.Claim{Ref: 6, Conv: conv}).Append(nil))
	if e := a.expectError(frame.ErrorTaken); string(e.Text) != "own-bob" {
		g.Errorf("%s has it", e.Text)
	}
}

func (g *groupTest) refusedOutOfHours() {
	g.agent("shut-ann", "shut")
	v := g.visitor("shut-vic")
	g.entries(v.happens(v.opens("shut", 1, nil), "closed"), map[string]any{"reason": "out_of_hours", "text": "see you", "opens_ms": opens2099})
}

func (g *groupTest) waitsOutOfHours() {
	a, v := g.agent("waits-ann", "shut-waits"), g.visitor("waits-vic")
	conv := v.opens("shut-waits", 1, nil)
	w := g.visitor("waits-vic") // another device, for the event: which of the two comes first is left to chance
	w.frames((&frame.Resume{Ref: 3, Conv: conv}).Append(nil))
	g.entries(w.happens(conv, "queued"), map[string]any{"reason": "out_of_hours", "text": "please wait", "opens_ms": opens2099})
	var p frame.Position
	if err := p.Parse(v.expect(frame.TypePosition)); err != nil || p.Place != 1 || float64(p.WaitMS) < opens2099-float64(time.Now().UnixMilli())-1000 {
		g.Errorf("%+v %v", p, err)
	}
	a.frames((&frame.Claim{Ref: 6, Conv: conv}).Append(nil))
	a.expect(frame.TypeAck)
	g.entries(v.happens(conv, "assigned"), map[string]any{"agent": "waits-ann", "reason": "claimed"})
}

func (g *groupTest) fallsBackOutOfHours() {
	g.agent("open-ann", "open")
	v := g.visitor("falls-vic")
	g.entries(v.happens(v.opens("shut-falls", 1, nil), "assigned"), map[string]any{"agent": "open-ann", "group": "open"})
}

func (g *groupTest) goneAgent() {
	a, v := g.agent("gone-ann", "gone"), g.visitor("gone-vic")
	conv := v.opens("gone", 1, nil)
	g.entries(v.happens(conv, "assigned"), map[string]any{"agent": "gone-ann"})
	g.agent("gone-bob", "gone")
	_ = a.conn.Close()
	g.entries(v.happens(conv, "assigned"), map[string]any{"agent": "gone-bob", "from": "gone-ann", "reason": "agent_offline"})
}

func (g *groupTest) skills() {
	g.agent("tax-ann", "tax")
	g.agentWith(auth.Identity{User: "tax-bob", Groups: []string{"tax"}, Skills: []string{"vat", "law"}})
	g.agentWith(auth.Identity{User: "tax-cid", Groups: []string{"tax"}, Skills: []string{"vat"}})
	v := g.visitor("tax-vic")
	for key := byte(1); key <= 3; key++ { // not in turn
		conv := v.opens("tax", key, map[string]any{"required": []string{"vat"}, "preferred": []string{"law"}})
		g.entries(v.happens(conv, "assigned"), map[string]any{"agent": "tax-bob"})
	}
	v.opens("tax", 4, map[string]any{"required": []string{"wills"}})
	v.expect(frame.TypePosition) // nobody has it
}

func (g *groupTest) languages() {
	g.agentWith(auth.Identity{User: "words-ann", Groups: []string{"words"}, Languages: []string{"de"}})
	g.agentWith(auth.Identity{User: "words-bob", Groups: []string{"words"}, Languages: []string{"fr", "en"}})
	v := g.visitor("words-vic")
	for key, language := range []string{"fr", "en", "fr"} {
		conv := v.opens("words", byte(1+key), map[string]any{"language": language})
		g.entries(v.happens(conv, "assigned"), map[string]any{"agent": "words-bob"})
	}
	conv := v.opens("words", 9, map[string]any{"language": "it"})
	v.expect(frame.TypePosition)
	g.agent("words-cid", "words") // speaks all
	g.entries(v.happens(conv, "assigned"), map[string]any{"agent": "words-cid"})
}

// TestHoursAfterAKill: who waits for its group to open does so after a kill too, although an agent is free.
func TestHoursAfterAKill(t *testing.T) {
	i := newInstallation(t, "--set", "routing.file="+write(t, "routing.yaml", groupsFile))
	p, _ := i.start()
	g := &groupTest{t, i}
	v := g.visitor("vic")
	early := v.opens("shut-waits", 1, nil)
	v.happens(early, "queued")
	p.signal(syscall.SIGKILL)
	p, _ = i.start()

	a, v := g.agent("ann", "shut-waits", "open"), g.visitor("vic")
	v.frames((&frame.Attach{Ref: 3, Conv: early}).Append(nil))
	v.expect(frame.TypeResumed)
	v.expect(frame.TypePosition)                                                              // although it has not changed
	g.entries(v.happens(v.opens("open", 2, nil), "assigned"), map[string]any{"agent": "ann"}) // she is there, and free
	a.frames((&frame.Claim{Ref: 6, Conv: early}).Append(nil))
	a.expect(frame.TypeAck)
	g.entries(v.happens(early, "assigned"), map[string]any{"agent": "ann", "reason": "claimed"})
	p.signal(syscall.SIGKILL)
}
