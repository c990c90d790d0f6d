package main

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/switchyard-im/switchyard/bench/benchtest/liar"
	"github.com/switchyard-im/switchyard/bench/desk"
	"github.com/switchyard-im/switchyard/bench/oracle"
	"github.com/switchyard-im/switchyard/frame"
)

// deskLie is a fault of a server as its clients see it.
type deskLie struct {
	lies   liar.Lies
	found  string // under which name it must be
	change func(c *desk.Config)
}

// calm is a desk where conversations stay with the agent who gets them.
func calm(c *desk.Config) { c.Transfers, c.Reopens = 0, 0 }

// roomy is one where somebody is free to whom a conversation can be transferred.
func roomy(c *desk.Config) { c.Visitors, c.Transfers = 4, 1 }

func same(*desk.Config) {}

// toAgents changes the n-th frame of a type that goes to an agent.
func toAgents(n int, typ frame.Type, change func(user string, f []byte) []byte) liar.Lies {
	return liar.Lies{ToClient: func(user string, t frame.Type, f []byte) []byte {
		if t != typ || !strings.Contains(user, "-a") {
			return f
		}
		if n--; n != 0 {
			return f
		}
		return change(user, f)
	}}
}

// astray sends what comes to one agent to the next one, too.
func astray(n int, typ frame.Type, change func(user string, f []byte) []byte) liar.Lies {
	var first string
	var kept []byte
	lies := toAgents(n, typ, func(user string, f []byte) []byte {
		first, kept = user, bytes.Clone(f)
		return f
	})
	return liar.Lies{ToClient: func(user string, t frame.Type, f []byte) []byte {
		out := lies.ToClient(user, t, f)
		if kept != nil && user != first && strings.Contains(user, "-a") {
			out, kept = append(bytes.Clone(out), change(user, kept)...), nil
		}
		return out
	}}
}

// once changes one message that somebody wrote.
func once(change func(m frame.Message) []byte) liar.Lies {
	done := false
	return liar.Lies{ToClient: func(_ string, typ frame.Type, f []byte) []byte {
		var m frame.Message
		if typ != frame.TypeMessage || m.Parse(f) != nil || m.Kind == frame.KindEvent || m.Seq < 6 || done {
			return f
		}
		done = true
		return change(m)
	}}
}

var deskLies = map[string]func() deskLie{
	"a message is lost": func() deskLie {
		return deskLie{once(func(frame.Message) []byte { return nil }), "lost", same}
	},
	"a message comes twice": func() deskLie {
		return deskLie{once(func(m frame.Message) []byte { return m.Append(m.Append(nil)) }), "duplicated", same}
	},
	"a message is altered": func() deskLie {
		return deskLie{once(func(m frame.Message) []byte {
			m.Body = bytes.Clone(m.Body)
			m.Body[40] ^= 1
			return m.Append(nil)
		}), "altered", same}
	},
	"another agent gets it too": func() deskLie {
		return deskLie{astray(40, frame.TypeMessage, func(_ string, f []byte) []byte { return f }), "misdelivered", same}
	},
	"two agents are told that they have it": func() deskLie {
		return deskLie{astray(1, frame.TypeConversation, func(user string, f []byte) []byte {
			var m frame.Conversation
			_ = m.Parse(f)
			m.Agent = []byte(user)
			return m.Append(nil)
		}), "misassigned", calm}
	},
	"an agent is given it that another one has": func() deskLie {
		return deskLie{liar.Lies{ToClient: func(user string, typ frame.Type, f []byte) []byte {
			var m frame.Message
			if typ != frame.TypeMessage || m.Parse(f) != nil || m.Kind != frame.KindEvent || !strings.Contains(user, "-v") {
				return f
			}
			var e oracle.Event
			if err := frame.DecodeBody(m.Body, &e); err != nil || e.Name != "assigned" || e.From == "" {
				return f
			}
			m.Body = frame.AppendEvent(nil, "assigned", "agent", e.Agent)
			return m.Append(nil)
		}}, "misassigned", roomy}
	},
	"agents get more than they take": func() deskLie {
		return deskLie{liar.Lies{ToServer: func(typ frame.Type, f []byte) []byte {
			var m frame.Status
			if typ != frame.TypeStatus || m.Parse(f) != nil {
				return f
			}
			m.Capacity += 2
			return m.Append(nil)
		}}, "over capacity", same}
	},
	"an agent is not told": func() deskLie {
		return deskLie{toAgents(5, frame.TypeConversation, func(string, []byte) []byte { return nil }), "unserved", same}
	},
	"an ack comes twice": func() deskLie {
		return deskLie{toAgents(40, frame.TypeAck, func(_ string, f []byte) []byte { return append(bytes.Clone(f), f...) }), "bad ack", same}
	},
}

// TestACloseThatNobodyAskedForIsNoticed, even if everybody is told of it as it must be.
func TestACloseThatNobodyAskedForIsNoticed(t *testing.T) {
	_, _, cfg := desks(t)
	cfg.Duration, cfg.Drain, cfg.Server, cfg.History = 250*time.Millisecond, 400*time.Millisecond, nil, nil
	signals := 0
	p, err := liar.Start(cfg.URL, liar.Lies{ToServer: func(typ frame.Type, f []byte) []byte {
		var m frame.Signal
		if signals++; typ != frame.TypeSignal || signals%3 != 0 || m.Parse(f) != nil {
			return f
		}
		return (&frame.Close{Ref: 1 << 40, Conv: m.Conv}).Append(nil)
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	cfg.URL = p.URL()
	var rep *desk.Report
	for range 10 { // in a short run on a busy machine the lie may not be told
		if rep, err = desk.Run(t.Context(), cfg); err != nil {
			t.Fatal(err)
		}
		if !rep.OK() && rep.Unserved > 0 && strings.Contains(strings.Join(rep.Violations, "\n"), "nobody asked for that") {
			return
		}
	}
	t.Errorf("%+v", rep)
}

// TestDeskNoticesLies has a proxy before a real server change what it tells, once in a run: each lie is found under its name, and without lies there is nothing.
func TestDeskNoticesLies(t *testing.T) {
	_, _, base := desks(t)
	base.Duration, base.Drain, base.Server, base.History = 250*time.Millisecond, 400*time.Millisecond, nil, nil
	play := func(t *testing.T, lies liar.Lies, cfg desk.Config) *desk.Report {
		t.Helper()
		p, err := liar.Start(cfg.URL, lies)
		if err != nil {
			t.Fatal(err)
		}
		defer p.Close()
		cfg.URL = p.URL()
		rep, err := desk.Run(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		return rep
	}
	t.Run("the truth", func(t *testing.T) {
		cfg := base
		cfg.Drain = patience
		if rep := play(t, liar.Lies{}, cfg); !rep.OK() || rep.Transferred == 0 {
			t.Errorf("%+v", rep)
		}
	})
	for name, lie := range deskLies {
		t.Run(name, func(t *testing.T) {
			var rep *desk.Report
			for range 10 { // in a short run on a busy machine the lie may not be told
				l := lie()
				cfg := base
				l.change(&cfg)
				rep = play(t, l.lies, cfg)
				if !rep.OK() && slices.ContainsFunc(rep.Violations, func(v string) bool { return strings.HasPrefix(v, l.found+": ") }) {
					return
				}
			}
			t.Errorf("%s is not found: %q", lie().found, rep.Violations)
		})
	}
}
