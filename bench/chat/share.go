package chat

import (
	"fmt"
	"math/rand/v2"

	"github.com/switchyard-im/switchyard/bench/client"
	"github.com/switchyard-im/switchyard/bench/meter"
	"github.com/switchyard-im/switchyard/bench/oracle"
	"github.com/switchyard-im/switchyard/bench/report"
)

// share is what one loop has of the run. Owned by the loop; others look at it through Fleet.Each.
type share struct {
	// Fixed after construction.
	run  *run
	cfg  *Config
	loop *client.Loop

	// Owned by the loop.
	pairs    []*pair
	ready    int             // pairs that became ready
	offline  int             // connections that are not live
	lost     int64           // connections that ended after their upgrade
	away     *report.Latency // from the loss of a connection that was live until its user's next one was
	resent   int64
	refusals int64
	marks    int64
	closed   int // conversations that the server closed for us
	random   *rand.Rand
	ledger   oracle.Ledger
	body     []byte // of the message being written

	running  bool
	begin    int64 // when the load began
	end      int64 // nothing is due after this; far away until it is known
	schedule client.Timer
	slot     int64 // open loop: the next message of the schedule

	windows []window // the measured ones: undisturbed and, if there is trouble, disturbed

	accepts  meter.Interval // from due to acknowledged, of answers since the last sample
	delivers meter.Interval // from due to delivered, likewise
	lates    meter.Interval // open loop: how late the generator itself was
}

// never is a time that does not come.
const never = int64(1) << 62

func newShare(r *run, l *client.Loop) *share {
	s := &share{
		run: r, cfg: &r.cfg, loop: l, end: never, windows: newWindows(&r.cfg),
		away:   report.NewLatency(),
		random: rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64())),
	}
	s.schedule.Fire = s.admit
	return s
}

func (s *share) closedLoop() bool { return s.cfg.Rate.Never() }

// start begins the load. Begin is the same for all shares.
func (s *share) start(begin int64) {
	s.running, s.begin = true, begin
	if s.closedLoop() {
		for _, p := range s.pairs {
			p.pump()
		}
		return
	}
	s.loop.Arm(&s.schedule, begin)
}

// finish lets nothing more become due; what was due before is still sent.
func (s *share) finish(at int64) { s.end = min(s.end, at) }

// settled tells whether nothing is under way.
func (s *share) settled() bool {
	for _, p := range s.pairs {
		if !p.broken && (!p.judge.Settled() || s.owes(p)) {
			return false
		}
	}
	return true
}

// judge ends the run for the oracle.
func (s *share) judge() {
	s.running = false
	for _, p := range s.pairs {
		p.judge.Finish()
	}
}

func (s *share) noteAccepted(due, sent int64) {
	now := client.Now()
	s.accepts.Record(now - due)
	for i := range s.windows {
		s.windows[i].noteAccepted(due, sent, now)
	}
}

func (s *share) noteDelivered(due int64) {
	now := client.Now()
	s.delivers.Record(now - due)
	for i := range s.windows {
		s.windows[i].noteDelivered(due, now)
	}
}

// connect makes the share's pairs and dials their agents; each visitor follows when its agent is online.
func (s *share) connect() error {
	for i, other := range s.run.shares {
		if other != s {
			continue
		}
		for n := i*s.cfg.Of + s.cfg.Part; n < s.cfg.Pairs; n += len(s.run.shares) * s.cfg.Of {
			p, err := newPair(s, s.loop, n)
			if err != nil {
				return err
			}
			p.sides[oracle.FromAgent].conn.Dial()
		}
	}
	return nil
}

// unready describes a pair that is not ready, or nothing.
func (s *share) unready() string {
	for _, p := range s.pairs {
		if !p.ready {
			return fmt.Sprintf("pair %d: its visitor is %s, its agent is %s", p.number, p.sides[0].phase, p.sides[1].phase)
		}
	}
	return ""
}

// noteLate is called for each slot of the open loop when the generator comes to it.
func (s *share) noteLate(due, now int64) {
	s.lates.Record(now - due)
	for i := range s.windows {
		s.windows[i].noteLate(due, now)
	}
}

// sample is what the share shows since the last one.
func (s *share) sample() meter.Sample {
	return meter.Sample{
		Counts: map[string]int64{
			"sent": s.ledger.Sent, "accepted": s.ledger.Accepted, "delivered": s.ledger.Delivered, "violations": s.ledger.Total(),
			"reconnects": s.lost, "resent": s.resent, "refusals": s.refusals,
		},
		Gauges: map[string]float64{
			"pairs": float64(s.ready), "connections": float64(2*len(s.pairs) - s.offline), "offline": float64(s.offline),
			"under_way": float64(s.ledger.Sent - s.ledger.Accepted),
		},
		Latencies: map[string]*report.Latency{"accept": s.accepts.Take(), "deliver": s.delivers.Take(), "late": s.lates.Take()},
	}
}

// closeConversations asks for the end of all conversations whose visitor is live, and returns how many those are.
func (s *share) closeConversations() (n int) {
	for _, p := range s.pairs {
		if visitor := p.sides[oracle.FromVisitor]; visitor.live() {
			visitor.closing = true
			visitor.conn.Wake()
			n++
		}
	}
	return n
}
