package chat

import (
	"errors"
	"fmt"
	"time"

	"github.com/gobwas/ws"

	"github.com/switchyard-im/switchyard/bench/client"
	"github.com/switchyard-im/switchyard/bench/oracle"
	"github.com/switchyard-im/switchyard/bench/retry"
	"github.com/switchyard-im/switchyard/bench/token"
	"github.com/switchyard-im/switchyard/frame"
)

// phase is how far a side's connection has come. A visitor goes down -> hello -> open -> live the first time, an agent down -> hello ->
// waiting -> resume -> live; both go down -> hello -> resume -> live after that.
type phase uint8

const (
	down    phase = iota
	hello         // the upgrade is done, hello goes out, its welcome is awaited
	opening       // visitor: open, its conversation is awaited
	waiting       // agent: for the notice of its conversation
	resume        // resume, its resumed is awaited
	live          // sends and receives
	stopped
)

// Refs of a side's requests. Those of sends follow, so that an ack leads to its message without a table.
const (
	refHello  = 1
	refOpen   = 2
	refResume = 3
	refClose  = 4
	refSends  = 16
)

// side is one user's client with its connection; it implements client.Handler. Owned by its loop.
type side struct {
	// Fixed after construction.
	pair  *pair
	share *share
	me    oracle.Direction
	token string
	conn  *client.Conn

	// Owned by the loop.
	phase     phase
	asked     bool // the phase's request is on its way
	held      bool // told to wait before it tries again
	again     bool // a message was refused for now: nothing is sent until all that is under way is answered
	closing   bool // send close, once
	underWay  int  // messages on the present connection that are not answered
	window    int  // how many may be, after a refusal; 0: as many as are due
	backoff   retry.Backoff
	redial    client.Timer
	hold      client.Timer
	notBefore int64        // a drain's time to come back
	leave     client.Timer // at that time, if the server has not closed by then
	wentAt    int64        // when the last live connection ended; 0: it did not, or the user is back
	missing   uint64       // messages of the replay that are still to come

	mark      uint64 // the highest sequence received
	marked    uint64 // the highest sequence named in a delivered frame
	markedAt  int64
	markTimer client.Timer
}

func newSide(p *pair, l *client.Loop, me oracle.Direction, user string) (*side, error) {
	r := p.share.run
	s := &side{pair: p, share: p.share, me: me, backoff: retry.New(r.cfg.retry())}
	role := token.Visitor
	if me == oracle.FromAgent {
		role = token.Agent
	}
	lifetime := time.Hour + r.cfg.OpenWithin + r.cfg.Warmup + r.cfg.Duration + r.cfg.Drain
	var err error
	if s.token, err = r.cfg.Key.Sign(role, user, p.group, time.Now(), lifetime); err != nil {
		return nil, err
	}
	s.conn = l.NewConn(r.target, r.target.SourceFor(2*p.number+int(me), r.cfg.PerSource), s)
	s.redial.Fire = s.conn.Dial
	s.hold.Fire = s.release
	s.leave.Fire = s.drained
	s.markTimer.Fire = s.conn.Wake
	s.share.offline++
	return s, nil
}

func (s *side) live() bool { return s.phase == live }

// enter moves to a phase whose request goes out with the next flush.
func (s *side) enter(p phase) {
	if s.phase == live {
		s.share.offline++
	}
	s.phase, s.asked = p, false
	if p == live {
		s.share.offline--
		if s.wentAt > 0 {
			s.share.away.Record(client.Now() - s.wentAt)
			s.wentAt = 0
		}
		s.pair.becameLive()
	}
	s.conn.Wake()
}

// Opened implements client.Handler.
func (s *side) Opened() { s.enter(hello) }

// Closed implements client.Handler: it dials again, or ends the run if that cannot help.
func (s *side) Closed(err error) {
	if s.phase == stopped {
		return
	}
	if remedy, fatal := hopeless(err, !s.share.running); fatal {
		s.share.run.fail(fmt.Errorf("chat: the connection of the %s of pair %d ended: %w%s", s.me, s.pair.number, err, remedy))
	}
	if s.phase == live {
		s.share.offline++
		s.wentAt = client.Now()
	}
	if s.phase != down {
		s.share.lost++
	}
	s.phase, s.asked, s.held, s.again, s.underWay = down, false, false, false, 0
	s.missing = 0
	s.marked, s.markedAt = 0, 0 // the server may have forgotten: name it again after the resume
	s.pair.judge.Disconnected(s.me)
	for _, t := range []*client.Timer{&s.hold, &s.leave, &s.markTimer} {
		s.share.loop.Disarm(t)
	}
	wait := s.backoff.Next(s.share.random)
	var refused *client.UpgradeError
	if errors.As(err, &refused) {
		wait = max(wait, refused.RetryAfter)
	}
	s.share.loop.Arm(&s.redial, max(client.Now()+int64(wait), s.notBefore))
}

// errDrained ends a connection that the server asked to leave.
var errDrained = errors.New("chat: the server is going away")

// drained leaves the connection at the time that the server gave, although it still works.
func (s *side) drained() {
	s.conn.Close(ws.StatusNormalClosure)
	s.Closed(errDrained)
}

// stop ends the side for good.
func (s *side) stop() {
	s.enter(stopped)
	for _, t := range []*client.Timer{&s.redial, &s.hold, &s.leave, &s.markTimer} {
		s.share.loop.Disarm(t)
	}
	s.conn.Close(ws.StatusNormalClosure)
}

// later stops sending until a time that the server named, at least a moment from now.
func (s *side) later(ms uint64) {
	s.held = true
	s.share.refusals++
	wait := min(max(time.Duration(ms)*time.Millisecond, 10*time.Millisecond), time.Minute)
	if at := client.Now() + int64(wait); !s.hold.Armed() {
		s.share.loop.Arm(&s.hold, at)
	}
}

// release tries again after later.
func (s *side) release() {
	s.held = false
	s.conn.Wake()
}

// Flush implements client.Handler: one batch with the request of the phase, or with messages and a mark.
func (s *side) Flush() {
	if s.phase == down || s.phase == stopped || s.held || s.phase == waiting {
		return
	}
	if s.phase == live {
		s.flushLive()
		return
	}
	if !s.asked {
		s.asked = true
		s.conn.End(s.request(s.conn.Begin(ws.OpBinary)))
	}
}

// request writes the request of the phase.
func (s *side) request(b []byte) []byte {
	switch s.phase {
	case hello:
		m := frame.Hello{Ref: refHello, Token: []byte(s.token), Agent: []byte("switchyard-bench")}
		if s.me == oracle.FromAgent && s.pair.conv.IsZero() {
			m.Flags = frame.HelloList // its notice may have come while it was away
		}
		return m.Append(b)
	case opening:
		m := frame.Open{Ref: refOpen, Key: s.share.run.openKey(s.pair), Group: []byte(s.pair.group)}
		return m.Append(b)
	default:
		m := frame.Resume{Ref: refResume, Conv: s.pair.conv, After: s.pair.judge.Known(s.me)}
		return m.Append(b)
	}
}

// String says what a side waits for.
func (p phase) String() string {
	return [...]string{"not connected", "waiting for its welcome", "opening its conversation", "waiting for the notice of its conversation",
		"resuming", "ready", "stopped"}[p]
}
