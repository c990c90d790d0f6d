package desk

import (
	"math/rand/v2"
	"time"

	"github.com/switchyard-im/switchyard/bench/audit"
	"github.com/switchyard-im/switchyard/bench/client"
	"github.com/switchyard-im/switchyard/bench/crowd"
	"github.com/switchyard-im/switchyard/bench/oracle"
	"github.com/switchyard-im/switchyard/frame"
)

// group is some agents, and the visitors who come to them.
type group struct {
	name string
	next string // where its conversations are transferred to; empty: to another agent of the same
}

// share is what one loop has of the run. Owned by the loop; others look at it through Fleet.Each.
type share struct {
	// Fixed after construction.
	cfg     *Config
	scene   *crowd.Scene
	loop    *client.Loop
	index   int    // among the loops of all processes
	details []byte // of each open

	// Owned by the loop.
	groups   []*group
	agents   []*agent
	names    map[string]*agent
	seats    []*visitor // at most maxSeats
	free     []*visitor // seats that nobody has
	visitors map[string]*visitor
	convs    map[frame.ID]*talk // those under way
	numbers  uint64             // parts that there were
	talks    int                // conversations that there were
	random   *rand.Rand
	ledger   oracle.Ledger
	past     *audit.Sample
	body     []byte // of the message being written
	notes    *notes

	running  bool
	hurry    bool // the end: conversations come to theirs, and nobody comes
	begin    int64
	arrivals int64 // open loop: visitors who came
	arrive   client.Timer

	tally
}

// tally counts what happened since the run began.
type tally struct {
	online           int64 // agents
	assigned         int64 // conversations that had an agent
	finished         int64
	turnedAway       int64
	cutShort         int64 // closed by a rule of the server's after they had an agent
	neverCame        int64 // open loop: visitors for whom there was no room to the end
	gaveUp           int64 // waited until the end of the run
	transferred      int64
	transfersRefused int64
	reopened         int64
	reopensRefused   int64
	rated            int64
	reconnects       int64 // connections that ended, and were dialled again
	resent           int64 // sends that went out again after that or after a refusal
	refusals         int64 // answers that told a client to try later
	marks            int64
	notices          int64 // receipts and signals
	positions        int64
}

// never is a time that does not come.
const never = int64(1) << 62

func newShare(cfg *Config, scene *crowd.Scene, l *client.Loop, index int) *share {
	s := &share{
		cfg: cfg, scene: scene, loop: l, index: index, names: map[string]*agent{}, visitors: map[string]*visitor{}, convs: map[frame.ID]*talk{}, notes: newNotes(),
		random: rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64())),
	}
	s.arrive.Fire = s.admit
	s.details = details()
	s.past = cfg.History.NewSample(cfg.loops())
	return s
}

// details are what visitors tell with their open.
func details() []byte {
	b, err := frame.AppendBody(nil, map[string]any{
		"subject": "a question about an order", "language": "en", "attributes": map[string]string{"page": "/orders/1", "shop": "bench"},
	})
	if err != nil {
		panic("BUG: desk: " + err.Error())
	}
	return b
}

// connect makes the share's groups and dials their agents.
func (s *share) connect(names []string) error {
	for i, name := range names {
		if i%s.cfg.loops() == s.index {
			s.groups = append(s.groups, &group{name: name})
		}
	}
	for i, g := range s.groups {
		if len(s.groups) > 1 {
			g.next = s.groups[(i+1)%len(s.groups)].name
		}
	}
	for n := range s.cfg.Agents {
		g := n % len(names)
		if g%s.cfg.loops() != s.index {
			continue
		}
		if err := newAgent(s, s.groups[g/s.cfg.loops()], n); err != nil {
			return err
		}
	}
	for _, a := range s.agents {
		a.dial()
	}
	return nil
}

// maxSeats is how many visitors of the share there may be at a time: of each so many, one.
func (s *share) maxSeats() int { return (s.cfg.Visitors + s.cfg.loops() - 1 - s.index) / s.cfg.loops() }

// start begins the load. Begin is the same for all shares.
func (s *share) start(begin int64) {
	s.running, s.begin = true, begin
	s.admit()
}

func (s *share) closedLoop() bool { return s.cfg.Rate.Never() }

// tick is the least time between two wake-ups of the schedule, in nanoseconds.
const tick = 50_000

// admit lets those come whose time it is, while there is room for them. Who comes late for that came when it was due.
func (s *share) admit() {
	if s.hurry {
		return
	}
	if s.closedLoop() {
		for v := s.seat(); v != nil; v = s.seat() {
			v.come(client.Now())
		}
		return
	}
	for now := client.Now(); ; s.arrivals++ {
		due := s.arrivalDue()
		if due > now {
			if due < never {
				s.loop.Arm(&s.arrive, max(due, now+tick))
			}
			return
		}
		v := s.seat()
		if v == nil {
			return // who goes makes room
		}
		s.notes.late(due, now)
		v.come(due)
	}
}

// arrivalDue is when the next visitor of the share comes; the shares take the events of the rate in turn.
func (s *share) arrivalDue() int64 {
	at, ok := s.cfg.Rate.Due(s.arrivals*int64(s.cfg.loops()) + int64(s.index))
	if !ok {
		return never
	}
	return s.begin + at
}

// seat is a place for one more visitor, or nil. Its visitor is somebody who was there before, if there is one.
func (s *share) seat() *visitor {
	if n := len(s.free); n > 0 {
		v := s.free[n-1]
		s.free = s.free[:n-1]
		return v
	}
	if len(s.seats) >= s.maxSeats() {
		return nil
	}
	v, err := newVisitor(s, s.groups[len(s.seats)%len(s.groups)])
	if err != nil {
		s.scene.Fail(err)
		return nil
	}
	return v
}

// newTalk decides what a conversation will be.
func (s *share) newTalk(v *visitor, due int64) *talk {
	t := &talk{share: s, visitor: v, due: due, left: s.cfg.Messages, turn: oracle.FromVisitor, transferAt: -1, owed: map[*agent]owed{}, stars: uint8(1 + s.random.IntN(5))}
	t.judge = oracle.NewTalk(&s.ledger, s.scene.Run, s.talks*s.cfg.loops()+s.index, s.cfg.Size, v.name)
	s.talks++
	t.think.Fire = t.say
	t.takeTurn()
	if s.random.Float64() < s.cfg.Transfers {
		t.transferAt = t.left - 1 - s.random.IntN(max(t.left/2, 1))
		if v.group.next != "" && (s.cfg.Agents < 2*s.cfg.Groups || s.random.IntN(2) == 0) {
			t.target = v.group.next
		}
	}
	t.byAgent = s.random.IntN(2) == 0
	t.rates, t.reopens = s.random.Float64() < s.cfg.Ratings, s.random.Float64() < s.cfg.Reopens
	return t
}

// find is the conversation of a notice, which may come before the answer to the visitor's open.
func (s *share) find(m *frame.Conversation) *talk {
	if t := s.convs[m.Conv]; t != nil {
		return t
	}
	if v := s.visitors[string(m.Visitor)]; v != nil && v.talk != nil && v.talk.conv.IsZero() {
		return v.talk
	}
	return nil
}

// gone makes room for the next visitor.
func (s *share) gone(t *talk) {
	delete(s.convs, t.conv)
	s.finished++
	s.notes.finished()
	t.visitor.talk = nil
	s.free = append(s.free, t.visitor)
	s.loop.Arm(&s.arrive, 0) // not from here: the visitor's line may be in use
}

// thinkTime is what a person takes to answer.
func (s *share) thinkTime() int64 {
	if s.cfg.Think == 0 {
		return 0
	}
	return int64(s.cfg.Think)/2 + s.random.Int64N(int64(s.cfg.Think))
}

// finish lets nobody come any more, and those who are there finish early.
func (s *share) finish() {
	s.hurry = true
	s.loop.Disarm(&s.arrive)
	if s.running && !s.closedLoop() {
		s.missed(client.Now())
	}
	for _, v := range s.seats {
		if v.talk != nil {
			v.talk.step()
		}
	}
}

// maxMissed bounds how many visitors for whom there was no room are looked at; a schedule that is more behind shows by that.
const maxMissed = 1_000_000

// missed counts what those have waited who were due and for whom there was no room: without them the longest waits would be left out.
func (s *share) missed(now int64) {
	for ; s.neverCame < maxMissed; s.arrivals++ {
		due := s.arrivalDue()
		if due >= now {
			return
		}
		s.neverCame++
		for _, kind := range []string{"late", "open", "assign"} {
			s.notes.note(kind, due, now)
		}
	}
}

// under is how many conversations are under way.
func (s *share) under() int64 { return int64(len(s.seats) - len(s.free)) }

// judge ends the run for the oracle. Nothing may come in any more.
func (s *share) judge() {
	for _, v := range s.seats {
		if v.talk != nil {
			v.talk.stuck()
		}
	}
}

// retryIn is a server's retry time in nanoseconds, at least a moment.
func retryIn(ms uint64) int64 {
	return int64(max(time.Duration(min(ms, 60_000))*time.Millisecond, 10*time.Millisecond))
}

// lines are those of all agents and visitors.
func (s *share) lines(yield func(*line) bool) {
	for _, a := range s.agents {
		if !yield(a.line) {
			return
		}
	}
	for _, v := range s.seats {
		if !yield(v.line) {
			return
		}
	}
}

// offline is how many connections are not there that should be.
func (s *share) offline() (n int64) {
	for l := range s.lines {
		if l.wanted && !l.Ready {
			n++
		}
	}
	return n
}

// gauges tell how things stand.
func (s *share) gauges() map[string]float64 {
	var connected, queue, talks, under float64
	for l := range s.lines {
		if l.Ready {
			connected++
		}
	}
	for _, v := range s.seats {
		if t := v.talk; t != nil {
			switch t.stage {
			case waiting:
				queue++
			case talking:
				talks++
			}
			under += float64(t.judge.Unacked(oracle.FromVisitor) + t.judge.Unacked(oracle.FromAgent))
		}
	}
	return map[string]float64{"connections": connected, "offline": float64(s.offline()), "queue": queue, "conversations": talks, "under_way": under}
}

// counts are what there was since the run began.
func (s *share) counts() map[string]int64 {
	return map[string]int64{
		"sent": s.ledger.Sent, "accepted": s.ledger.Accepted, "delivered": s.ledger.Delivered, "violations": s.ledger.Total(), "opened": int64(s.talks),
		"assigned": s.assigned, "finished": s.finished, "transferred": s.transferred, "reconnects": s.reconnects, "refusals": s.refusals,
	}
}
