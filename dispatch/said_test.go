package dispatch_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/switchyard-im/switchyard/dispatch"
	"github.com/switchyard-im/switchyard/dispatch/core"
	"github.com/switchyard-im/switchyard/dispatch/desk"
	"github.com/switchyard-im/switchyard/frame"
)

// TestSaidUnderFailures lets an agent and a supervisor say things of the agent while the store stalls and fails at random. When all is answered, the desk has what
// the store has, which is something that was acked; without a stall, what was acked last; and so it is after a restart.
func TestSaidUnderFailures(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	cfg := dispatch.Config{Runners: 4}
	withCenter(t, cfg, func(c *center) {
		s := &sayings{center: c, rnd: rand.New(rand.NewPCG(seed, 0)), said: map[uint64]saying{}, now: saying{frame.AgentOnline, 5}}
		s.login()
		for step := range 600 {
			s.step()
			if step%100 == 99 {
				s.calm()
			}
			err := s.check()
			if step%100 == 99 && err == nil {
				c.restart(cfg)
				s.login()
				err = s.check()
			}
			if err != nil {
				t.Errorf("step %d: %v", step, err)
				s.calm()
				return
			}
		}
		if s.acked < 100 || s.refused < 20 {
			t.Errorf("%d were acked and %d refused", s.acked, s.refused)
		}
	})
}

type saying struct {
	status   frame.AgentStatus
	capacity int
}

type sayings struct {
	*center
	rnd      *rand.Rand
	ann, sue *conn
	ref      uint64
	said     map[uint64]saying // by ref, not answered
	now      saying            // what was acked last
	held     bool
	failed   bool

	acked, refused int
}

func (s *sayings) login() {
	s.ann, s.sue = s.center.login("ann", frame.RoleAgent), s.center.login("sue", frame.RoleSupervisor)
}

func (s *sayings) step() {
	time.Sleep(time.Millisecond)
	switch n := s.rnd.IntN(20); {
	case n == 0:
		s.failed = !s.failed
		if s.failed {
			s.store.Fail()
		} else {
			s.store.Recover()
		}
	case n == 1:
		s.held = true
		s.store.Hold()
	case n <= 4:
		s.held = false
		s.store.Resume()
	default:
		s.say()
	}
	synctest.Wait()
}

func (s *sayings) say() {
	s.ref++
	said := saying{frame.AgentStatus(s.rnd.IntN(4)), 1 + s.rnd.IntN(9)}
	f := frame.Status{Ref: s.ref, Status: said.status, Capacity: uint64(said.capacity)}
	who := s.ann
	if s.rnd.IntN(2) == 0 {
		who, f.User = s.sue, []byte("ann")
	}
	s.said[s.ref] = said
	s.send(who, f.Append(nil))
}

// calm ends what keeps the store from working.
func (s *sayings) calm() {
	if s.failed {
		s.failed = false
		s.store.Recover()
	}
	s.held = false
	s.store.Resume()
	synctest.Wait()
}

// hear takes the answers. What was acked last is in the order of the acks of each connection; between the two, of their times.
func (s *sayings) hear() (possible []saying) {
	s.nets.mu.Lock()
	defer s.nets.mu.Unlock()
	var latest uint64
	for _, n := range []*conn{s.ann, s.sue} {
		for rest := n.out; len(rest) > 0; {
			typ, f, after, err := frame.Next(rest)
			if err != nil {
				s.t.Fatal(err)
			}
			rest = after
			ref := frame.PeekRef(f)
			said, waits := s.said[ref]
			var a frame.Ack
			switch {
			case typ == frame.TypeError && waits:
				s.refused++
				delete(s.said, ref)
			case typ == frame.TypeAck && a.Parse(f) == nil && waits:
				s.acked++
				delete(s.said, ref)
				possible = append(possible, said)
				if a.TimeMS >= latest {
					latest, s.now = a.TimeMS, said
				}
			}
		}
		n.out = nil
	}
	return possible
}

func (s *sayings) check() error {
	if s.held {
		return nil
	}
	synctest.Wait()
	possible := s.hear()
	if len(s.said) > 0 {
		return fmt.Errorf("%d have no answer", len(s.said))
	}
	list, err := s.Agents(context.Background(), "g")
	if err != nil || len(list) != 1 {
		return fmt.Errorf("the agents are %+v: %v", list, err)
	}
	got := saying{list[0].Status, list[0].Capacity}
	if !s.failed {
		if stored, err := s.stored(); err != nil || stored != got {
			return fmt.Errorf("the desk has %v, the store %v: %v", got, stored, err)
		}
	}
	if len(possible) <= 1 && got != s.now {
		return fmt.Errorf("the desk has %v, and %v was acked last", got, s.now)
	}
	for _, p := range possible {
		if got == p {
			s.now = got
			return nil
		}
	}
	if got != s.now {
		return fmt.Errorf("the desk has %v; acked were %v", got, possible)
	}
	return nil
}

// stored is what a restart would find.
func (s *sayings) stored() (saying, error) {
	d := desk.New(desk.Config{})
	d.AgentUp("ann", desk.Profile{Groups: []string{"g"}})
	for _, prefix := range []string{core.CapacityMemos, core.StatusMemos} {
		if err := s.store.Memos(prefix, func(key string, value []byte) error {
			m, err := core.DecodeSaid(key, value)
			d.Status(m.Agent, m.Status, m.Capacity)
			return err
		}); err != nil {
			return saying{}, err
		}
	}
	a, _ := d.Agent("ann")
	return saying{a.Status, a.Capacity}, nil
}
