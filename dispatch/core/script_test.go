package core

import (
	"bytes"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/switchyard-im/switchyard/dispatch/desk"
	"github.com/switchyard-im/switchyard/dispatch/internal/scenario"
	"github.com/switchyard-im/switchyard/frame"
)

// TestScenarios runs testdata/*.txt. A file begins with a sentence of purpose. Then come steps: lines of events that make one batch,
// a line ----, and what the batch asks for. The harness keeps a small store: what a batch writes is kept, its reads are carried
// out as a batch of their own, so that every line shows the whole consequence of a step.
//
//	user NAME ROLE [groups=A,B] [capacity=N]       declares an identity
//	CONV+ are the notes of CONV
//	online CONN USER [list] | offline CONN USER | gone CONN CONV
//	open CONN USER ref=N key=K group=G [priority=N] names the conversation K
//	send CONN USER ref=N CONV id=X base=N body=T [level=N]
//	attach|detach|close CONN USER ref=N CONV       resume ... after=N   history ... before=N limit=N
//	delivered|read CONN USER CONV SEQ              signal CONN USER CONV NAME BODY
//	status CONN USER ref=N STATUS [capacity=N] [user=A]   say AGENT STATUS for=CONN ref=N: the desk lets a supervisor say it
//	tick | time MS
//	claim|join|reopen CONN USER ref=N CONV         hold CONN USER ref=N CONV on|off
//	transfer CONN USER ref=N CONV [group=G] [agent=A] [front=1]
//	rate CONN USER ref=N CONV stars=N comment=T    watch CONN USER ref=N GROUP limit=N   place CONV N
//	what a user of the role system does, and open ... call=1, is the call of an application: it has no connection
//	assign CONV AGENT | queue CONV [front=1] | warn CONV AGENT | refuse CONV | end CONV: the desk's decisions,
//	    with [group=G] [life=N] [why=REASON] [at=MS] [for=CONN by=USER] [opens=MS]
//	expire CONV SEQ                                the store keeps the messages up to this one no more
//	fail                                           this batch's commit fails
//	lost                                           ... and yet turns out to be durable
//	escalate                                       who does not ack is told of from now on
//	down | up                                      the store takes no writes, or does again
//	withhold | tell                                presence is kept back from this batch on, or told again
//	restart                                        first in a step: the machine forgets everything, the store stays
func TestScenarios(t *testing.T) {
	scenario.Files(t, func(t *testing.T, text string) string {
		h := newHarness(t, Config{ResumeMax: 100, LookbackMax: 200, Groups: map[string]GroupRules{
			"timed": {Timed: true, Sticky: true, ReopenMS: 1000, Texts: map[desk.Reason]string{desk.QueueFull: "try later", desk.OutOfHours: "we sleep"}},
		}})
		var out strings.Builder
		for step := range strings.SplitSeq(strings.TrimSpace(text), "\n\n") {
			if strings.HasPrefix(step, "#") {
				fmt.Fprintf(&out, "%s\n\n", step)
				continue
			}
			events, _, _ := strings.Cut(step, "\n----")
			got := h.step(strings.Split(events, "\n"))
			fmt.Fprintf(&out, "%s\n\n", strings.TrimRight(events+"\n----\n"+got, "\n"))
		}
		return strings.TrimRight(out.String(), "\n") + "\n"
	})
}

// harness is a machine with a small store around it.
type harness struct {
	t     *testing.T
	m     *Machine
	store *memory
	now   int64
	users map[string]*Identity
	convs map[string]frame.ID // by the name that the script gave
	down  bool
	fail  bool
	lost  bool

	lookups int                 // JobLookups that were carried out
	gone    map[frame.ID]uint64 // up to here the store keeps the messages no more
}

func newHarness(t *testing.T, cfg Config) *harness {
	return &harness{t: t, m: New(cfg), store: newMemory(), now: 1000, users: map[string]*Identity{}, convs: map[string]frame.ID{}, gone: map[frame.ID]uint64{}}
}

// step runs one batch of events, and the batches that its reads and failures cause, and returns what they ask for.
func (h *harness) step(events []string) string {
	var out strings.Builder
	if events[0] == "restart" {
		h.m = New(h.m.cfg)
		events = events[1:]
	}
	h.batch(&out, func() {
		for _, e := range events {
			h.event(strings.Fields(e))
		}
	})
	return strings.TrimRight(out.String(), "\n")
}

// batch runs one batch, and after it those that its reads and a failed commit cause.
func (h *harness) batch(out *strings.Builder, events func()) {
	var e Effects
	h.m.Begin(h.now, !h.down, &e)
	events()
	h.m.End()
	h.check()
	ok := !h.fail
	if ok || h.lost {
		h.store.write(e.Writes)
	}
	if ok {
		h.print(out, &e)
	} else {
		fmt.Fprintf(out, "commit fails\n")
	}
	failed := h.fail
	h.fail, h.lost = false, false
	if failed {
		h.batch(out, func() {
			for _, a := range slices.Backward(e.Answers) {
				switch a.Kind {
				case AnswerAttached:
					h.m.Gone(a.Conv, a.Conn)
				case AnswerAccepted:
					h.m.Refused(a.Conv, a.Conn, a.ID)
				}
			}
			for _, w := range e.Writes {
				switch w.Op {
				case PutMessages:
					h.m.Invalidate(w.Conv, w.First-1)
				case PutConversation:
					h.m.Invalidate(w.Conv, math.MaxUint64)
				}
			}
		})
	}
	if len(e.Jobs) > 0 {
		h.batch(out, func() {
			for _, j := range e.Jobs {
				h.job(out, j)
			}
		})
	}
	if ok {
		for _, conv := range e.Left {
			h.batch(out, func() { h.m.Dismiss(conv) })
		}
		for _, u := range e.Users {
			frames := bytes.Clone(e.Buf[u.Off : u.Off+u.Len])
			h.batch(out, func() { h.m.Notify(u.User, frames, u.Except) })
		}
	}
}

func (h *harness) check() {
	if err := h.m.chunks.check(len(h.m.convs)); err != nil {
		h.t.Fatal(err)
	}
	for _, c := range h.m.convs {
		if err := c.check(); err != nil {
			h.t.Fatal(err)
		}
	}
	for c := range h.m.unsaid {
		if h.m.convs[c.id] != c {
			h.t.Fatalf("presence is kept for conversation %s, which is gone", c.id)
		}
	}
}

// job carries out a read.
func (h *harness) job(out *strings.Builder, j Job) {
	switch j.Op {
	case JobLoad:
		s := h.store.convs[j.Conv]
		if s == nil || s.state == nil {
			h.m.Loaded(j.Conv, nil, nil, false, nil)
			return
		}
		h.m.Loaded(j.Conv, s.state, s.last(), true, nil)
	case JobReplay:
		frames, last := h.store.after(j.Conv, j.After, j.Upto, 3)
		h.m.Replayed(j.Conv, j.Conn, j.After, frames, last, h.kept(j))
	case JobLookup:
		h.lookups++
		h.m.LookedUp(j.Conv, j.After, j.Upto, h.store.seen(j), h.kept(j))
	case JobPage:
		fmt.Fprintf(out, "page for %d: %s before %d, %d\n", j.Conn, h.name(j.Conv), j.Before, j.Limit)
	case JobHandOver:
		fmt.Fprintf(out, "hand over %s of %d: %s to %s\n", h.name(j.Conv), j.Conn, label(j.Refused.ids[0]), label(j.Refused.last))
		h.m.HandedOver(j.Conv, j.Conn, j.Ref)
	case JobMembers:
		for _, conv := range h.store.members[j.User] {
			h.m.Show(conv, Origin{Conn: j.Conn})
		}
	}
}

// kept tells whether the store still has what a job reads.
func (h *harness) kept(j Job) error {
	if j.After < h.gone[j.Conv] {
		return ErrGone
	}
	return nil
}

func (h *harness) print(out *strings.Builder, e *Effects) {
	for _, w := range e.Writes {
		switch w.Op {
		case PutMessages:
			fmt.Fprintf(out, "write messages %s %d..%d\n", h.name(w.Conv), w.First, w.Last)
		case PutConversation:
			fmt.Fprintf(out, "write state %s open=%t\n", h.name(w.Conv), w.Open)
		case PutMember:
			fmt.Fprintf(out, "write member %s %s %t\n", w.User, h.name(w.Conv), w.Open)
		case PutUnacked:
			fmt.Fprintf(out, "write that %s was closed with something unacked\n", h.name(w.Conv))
		}
	}
	for _, m := range e.Memos {
		fmt.Fprintf(out, "write memo %s\n", describeMemo(m))
	}
	for _, t := range e.Targets {
		h.printFrames(out, fmt.Sprintf("to %d: ", t.Conn), e.Buf[t.Off:t.Off+t.Len])
	}
	for _, d := range e.Desk {
		fmt.Fprintf(out, "desk: %s\n", h.deskEvent(d))
	}
	for _, u := range e.Unacked {
		fmt.Fprintf(out, "unacked: %s\n", h.unackedEvent(u))
	}
	for _, a := range e.Audit {
		if a.Action == AuditStatus {
			fmt.Fprintf(out, "audit: %s did %s of %s: %d, %d\n", a.By, a.Action, a.Agent, a.Status, a.Capacity)
			continue
		}
		fmt.Fprintf(out, "audit: %s did %s to %s of %s, which %q has\n", a.By, a.Action, h.name(a.Conv), a.Group, a.Agent)
	}
}

func (h *harness) unackedEvent(u UnackedEvent) string {
	who := fmt.Sprintf("%s of %s in %s: ", u.User, h.name(u.Conv), u.Group)
	switch u.Kind {
	case UnackedSent:
		return who + fmt.Sprintf("sent %d at %d", u.Seq, u.AtMS)
	case UnackedMark:
		return who + fmt.Sprintf("acked %d", u.Seq)
	case UnackedSince:
		return who + fmt.Sprintf("has to ack what is after %d, up to %d, since %d", u.Seq, u.Head, u.AtMS)
	case UnackedLeft:
		return who + "left"
	case UnackedClosed:
		return who + "closed"
	default:
		return who + fmt.Sprintf("reopened, acked %d of %d", u.Seq, u.Head)
	}
}

func describeMemo(m Memo) string {
	if !strings.HasPrefix(m.Key, ServedMemos) {
		return fmt.Sprintf("%s %x", m.Key, m.Value)
	}
	s, err := DecodeServed(m.Key, m.Value)
	return fmt.Sprintf("%s %+v %v", ServedMemos, s, err)
}

func (h *harness) printFrames(out *strings.Builder, prefix string, b []byte) {
	for len(b) > 0 {
		typ, f, rest, err := frame.Next(b)
		if err != nil {
			h.t.Fatalf("the machine made a bad frame: %v", err)
		}
		text, err := frame.AppendJSON(nil, f)
		if err != nil {
			h.t.Fatal(err)
		}
		s := strings.TrimSuffix(strings.TrimPrefix(string(text), "[["), "]]")
		for name, id := range h.convs {
			s = strings.ReplaceAll(s, `"`+id.String()+`"`, name)
		}
		_, s, _ = strings.Cut(s, ",")
		fmt.Fprintf(out, "%s%s %s\n", prefix, typ, s)
		b = rest
	}
}

func (h *harness) deskEvent(d DeskEvent) string {
	switch d.Kind {
	case DeskOpened:
		s := fmt.Sprintf("opened %s group=%s visitor=%s at=%d", h.name(d.Conv), d.Group, d.Visitor, d.AtMS)
		if d.Life > 0 {
			s += fmt.Sprintf(" life=%d", d.Life)
		}
		if d.Priority != 0 || len(d.Need.Required)+len(d.Need.Preferred)+len(d.Need.Language) > 0 {
			s += fmt.Sprintf(" priority=%d need=%v", d.Priority, *d.Need)
		}
		return s
	case DeskClosed:
		return "closed " + h.name(d.Conv)
	case DeskAgentUp:
		return fmt.Sprintf("agent %s up, groups=%v capacity=%d", d.Agent, d.Profile.Groups, d.Profile.Capacity)
	case DeskAgentDown:
		return fmt.Sprintf("agent %s down", d.Agent)
	case DeskWrote:
		return fmt.Sprintf("%s: somebody wrote, the agent %t", h.name(d.Conv), d.ByAgent)
	case DeskHold:
		return fmt.Sprintf("%s is held %t", h.name(d.Conv), d.On)
	case DeskClaim:
		return fmt.Sprintf("%s wants %s, for %d ref %d", d.Agent, h.name(d.Conv), d.For.Conn, d.For.Ref)
	case DeskTransfer:
		back := ""
		if d.Back != nil {
			back = ", back as: " + h.deskEvent(*d.Back)
		}
		return fmt.Sprintf("%s wants %s elsewhere %+v%s", d.For.By(), h.name(d.Conv), d.Target, back)
	case DeskWatch:
		return fmt.Sprintf("%d watches %s, %d entries", d.For.Conn, d.Group, d.Limit)
	case DeskPlace:
		return "the place of " + h.name(d.Conv) + " is asked for"
	case DeskUnwatch:
		return fmt.Sprintf("%d watches nothing", d.For.Conn)
	case DeskSay:
		return fmt.Sprintf("%s, supervisor of %v, wants agent %s to have status=%d capacity=%d", d.For.By(), d.Groups, d.Agent, d.Status, d.Capacity)
	default:
		return fmt.Sprintf("agent %s status=%d capacity=%d", d.Agent, d.Status, d.Capacity)
	}
}

// decision makes one about the present life of a conversation in its present group, unless the script says otherwise.
func (h *harness) decision(conv frame.ID, kind desk.Kind, why desk.Reason, opt map[string]string, d Decision) Decision {
	d.Kind, d.Reason, d.Group = kind, why, opt["group"]
	if c := h.m.convs[conv]; c != nil && d.Group == "" {
		d.Group = c.groupName()
	}
	if s := opt["why"]; s != "" {
		d.Reason = desk.Reason(s)
	}
	d.AtMS, _ = strconv.ParseInt(opt["at"], 10, 64)
	life, _ := strconv.Atoi(opt["life"])
	d.Life = uint32(life)
	if s := opt["for"]; s != "" {
		d.For = Request{Conn: h.conn(s), Ref: 99, Who: h.user(opt["by"])}
	}
	return d
}

func (h *harness) name(id frame.ID) string {
	for name, c := range h.convs {
		if c == id {
			return name
		}
	}
	return id.String()
}

// event runs one line of a script.
func (h *harness) event(w []string) {
	arg, opt := h.split(w[1:])
	num := func(name string) uint64 { n, _ := strconv.ParseUint(opt[name], 10, 64); return n }
	at := func(i int) string {
		if i < len(arg) {
			return arg[i]
		}
		h.t.Fatalf("%q needs more words", strings.Join(w, " "))
		return ""
	}
	origin := func() Origin { return Origin{Conn: h.conn(at(0)), Who: h.user(at(1))} }
	give := func(typ frame.Type, f []byte) {
		if from := origin(); from.Who.Role == frame.RoleSystem || opt["call"] != "" {
			h.m.Call(from, typ, f, h.now*1e6)
		} else {
			h.m.Frame(from, typ, f, h.now*1e6)
		}
	}
	switch w[0] {
	case "user":
		role, err := frame.ParseRole(at(1))
		if at(1) == frame.RoleSystem.String() {
			role, err = frame.RoleSystem, nil
		}
		if err != nil {
			h.t.Fatal(err)
		}
		id := &Identity{User: at(0), Role: role, Profile: &desk.Profile{Capacity: int(num("capacity"))}}
		if opt["groups"] != "" {
			id.Profile.Groups = strings.Split(opt["groups"], ",")
		}
		h.users[at(0)] = id
	case "online":
		h.m.Online(origin(), slices.Contains(w, "list"))
	case "offline":
		h.m.Offline(origin())
	case "gone":
		h.m.Gone(h.conv(at(1)), h.conn(at(0)))
	case "open":
		key := frame.ID{15: opt["key"][0]}
		h.convs[opt["key"]] = ConversationID(at(1), key)
		open := frame.Open{Ref: num("ref"), Key: key, Group: []byte(opt["group"])}
		if p := num("priority"); p > 0 {
			open.Details, _ = frame.AppendBody(nil, map[string]any{"priority": p, "required": []string{"tax"}, "subject": "a bill"})
		}
		give(frame.TypeOpen, open.Append(nil))
	case "send":
		s := frame.Send{Ref: num("ref"), Conv: h.conv(at(2)), Level: 2, Base: num("base"), Body: text(opt["body"])}
		if l, ok := opt["level"]; ok {
			n, _ := strconv.Atoi(l)
			s.Level = uint8(n)
		}
		if id := opt["id"]; id != "" {
			copy(s.ID[:], id)
		}
		give(frame.TypeSend, s.Append(nil))
	case "attach":
		give(frame.TypeAttach, (&frame.Attach{Ref: num("ref"), Conv: h.conv(at(2))}).Append(nil))
	case "detach":
		give(frame.TypeDetach, (&frame.Detach{Ref: num("ref"), Conv: h.conv(at(2))}).Append(nil))
	case "close":
		give(frame.TypeClose, (&frame.Close{Ref: num("ref"), Conv: h.conv(at(2))}).Append(nil))
	case "resume":
		give(frame.TypeResume, (&frame.Resume{Ref: num("ref"), Conv: h.conv(at(2)), After: num("after")}).Append(nil))
	case "history":
		give(frame.TypeHistory, (&frame.History{Ref: num("ref"), Conv: h.conv(at(2)), Before: num("before"), Limit: num("limit")}).Append(nil))
	case "delivered", "read":
		m := frame.Mark{Type: frame.TypeDelivered, Conv: h.conv(at(2))}
		if w[0] == "read" {
			m.Type = frame.TypeRead
		}
		m.Seq, _ = strconv.ParseUint(at(3), 10, 64)
		give(m.Type, m.Append(nil))
	case "signal":
		give(frame.TypeSignal, (&frame.Signal{Conv: h.conv(at(2)), Name: []byte(at(3)), Body: text(at(4))}).Append(nil))
	case "status":
		n, _ := strconv.Atoi(at(2))
		give(frame.TypeStatus, (&frame.Status{Ref: num("ref"), Status: frame.AgentStatus(n), Capacity: num("capacity"), User: []byte(opt["user"])}).Append(nil))
	case "say":
		n, _ := strconv.Atoi(at(1))
		h.m.Say(Said{Agent: at(0), Status: frame.AgentStatus(n), Capacity: int(num("capacity")), For: Request{Conn: frame.ConnID(num("for")), Ref: num("ref"), Who: h.user(opt["by"])}})
	case "assign":
		h.m.Decide(h.conv(at(0)), h.decision(h.conv(at(0)), desk.Assign, "least_active", opt, Decision{Agent: at(1)}))
	case "queue":
		h.m.Decide(h.conv(at(0)), h.decision(h.conv(at(0)), desk.Queue, "nobody_free", opt, Decision{Front: opt["front"] == "1", OpensMS: int64(num("opens"))}))
	case "warn":
		h.m.Decide(h.conv(at(0)), h.decision(h.conv(at(0)), desk.Warn, "no_first_reply", opt, Decision{Agent: at(1)}))
	case "refuse":
		h.m.Decide(h.conv(at(0)), h.decision(h.conv(at(0)), desk.Refuse, "queue_full", opt, Decision{OpensMS: int64(num("opens"))}))
	case "end":
		h.m.Decide(h.conv(at(0)), h.decision(h.conv(at(0)), desk.Close, "visitor_idle", opt, Decision{}))
	case "claim":
		give(frame.TypeClaim, (&frame.Claim{Ref: num("ref"), Conv: h.conv(at(2))}).Append(nil))
	case "join":
		give(frame.TypeJoin, (&frame.Join{Ref: num("ref"), Conv: h.conv(at(2))}).Append(nil))
	case "reopen":
		give(frame.TypeReopen, (&frame.Reopen{Ref: num("ref"), Conv: h.conv(at(2))}).Append(nil))
	case "transfer":
		give(frame.TypeTransfer, (&frame.Transfer{Ref: num("ref"), Conv: h.conv(at(2)), Group: []byte(opt["group"]), Agent: []byte(opt["agent"]), Front: opt["front"] == "1"}).Append(nil))
	case "hold":
		give(frame.TypeHold, (&frame.Hold{Ref: num("ref"), Conv: h.conv(at(2)), On: at(3) == "on"}).Append(nil))
	case "rate":
		give(frame.TypeRate, (&frame.Rate{Ref: num("ref"), Conv: h.conv(at(2)), Stars: uint8(num("stars")), Comment: []byte(opt["comment"])}).Append(nil))
	case "watch":
		give(frame.TypeWatch, (&frame.Watch{Ref: num("ref"), Group: []byte(at(2)), Limit: num("limit")}).Append(nil))
	case "place":
		n, _ := strconv.Atoi(at(1))
		h.m.Place(desk.Place{Conv: h.conv(at(0)), Group: "g", Place: n, Of: 9, WaitMS: -1})
	case "time":
		n, _ := strconv.ParseInt(at(0), 10, 64)
		h.now = n
		h.m.now = n
	case "expire":
		n, _ := strconv.ParseUint(at(1), 10, 64)
		h.gone[h.conv(at(0))] = n
	case "tick":
		h.m.Tick()
	case "fail", "lost":
		h.fail, h.lost = true, w[0] == "lost"
	case "withhold", "tell":
		h.m.Withhold(w[0] == "withhold")
	case "escalate":
		h.m.cfg.Escalate = Escalate{Visitors: true, Staff: true}
	case "down", "up":
		h.down = w[0] == "down"
	default:
		h.t.Fatalf("no event %q", w[0])
	}
}

func (h *harness) split(words []string) (arg []string, opt map[string]string) {
	opt = map[string]string{}
	for _, w := range words {
		if k, v, ok := strings.Cut(w, "="); ok {
			opt[k] = v
		} else {
			arg = append(arg, w)
		}
	}
	return arg, opt
}

func (h *harness) conn(s string) frame.ConnID {
	n, err := strconv.Atoi(s)
	if err != nil {
		h.t.Fatalf("%q is no connection", s)
	}
	return frame.ConnID(n)
}

func (h *harness) user(s string) *Identity {
	if u := h.users[s]; u != nil {
		return u
	}
	h.t.Fatalf("no user %q", s)
	return nil
}

// conv finds a conversation by its name in the script; a name that was never opened is an id that does not exist.
func (h *harness) conv(s string) frame.ID {
	if id, ok := h.convs[s]; ok {
		return id
	}
	id := frame.ID{0: 0xff}
	copy(id[1:], s)
	if host, ok := strings.CutSuffix(s, "+"); ok {
		id = h.conv(host).Notes()
	}
	h.convs[s] = id
	return id
}

// label is a message's id as a script writes it.
func label(id frame.ID) string { return strings.TrimRight(string(id[:]), "\x00") }

// text encodes a short string as msgpack.
func text(s string) []byte { return append([]byte{0xa0 | byte(len(s))}, s...) }
