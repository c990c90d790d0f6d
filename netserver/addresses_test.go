package netserver

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"testing"

	"github.com/gobwas/ws"
)

func TestClientKey(t *testing.T) {
	for _, tc := range []struct {
		a, b string
		same bool
	}{
		{"10.1.2.3", "10.1.2.3", true},
		{"10.1.2.3", "10.1.2.4", false},
		{"2001:db8:1:2::1", "2001:db8:1:2:ffff:ffff:ffff:ffff", true},
		{"2001:db8:1:2::1", "2001:db8:1:3::1", false},
		{"::ffff:10.1.2.3", "10.1.2.3", true},
	} {
		a, b := netip.MustParseAddr(tc.a).As16(), netip.MustParseAddr(tc.b).As16()
		if same := clientKey(a) == clientKey(b); same != tc.same {
			t.Errorf("%s and %s are one client: %v", tc.a, tc.b, same)
		}
	}
}

// TestClientTableFollowsTheModel adds and removes at random and compares with a plain map; in the end, and only then, nothing is left.
func TestClientTableFollowsTheModel(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 1))
	table, model := &newShared().clients, map[[16]byte]int{}
	var held [][16]byte
	for range 50_000 {
		var key [16]byte
		binary.BigEndian.PutUint32(key[:], uint32(r.IntN(2000)))
		if r.IntN(5) < 3 {
			ok := table.add(key, 3)
			if ok != (model[key] < 3) {
				t.Fatalf("add says %v with %d", ok, model[key])
			}
			if ok {
				model[key]++
				held = append(held, key)
			}
		} else if len(held) > 0 {
			i := r.IntN(len(held))
			table.remove(held[i])
			model[held[i]]--
			held[i] = held[len(held)-1]
			held = held[:len(held)-1]
		}
	}
	for _, key := range held {
		table.remove(key)
	}
	for i := range table.shards {
		if n := len(table.shards[i].sockets); n != 0 {
			t.Errorf("shard %d still has %d addresses", i, n)
		}
	}
}

// TestClientTableGivesMemoryBack fills the table as a flood of addresses does.
func TestClientTableGivesMemoryBack(t *testing.T) {
	const many = 40 * shrinkFrom * clientShards / 10
	table := &newShared().clients
	key := func(n int) (k [16]byte) { binary.BigEndian.PutUint32(k[:], uint32(n)); return k }
	for n := range many {
		table.add(key(n), 1)
	}
	for n := range many {
		table.remove(key(n))
	}
	for i := range table.shards {
		if p := table.shards[i].peak; p >= shrinkFrom {
			t.Errorf("shard %d keeps a map for %d addresses", i, p)
		}
	}
}

// TestConnectionsPerAddress counts what is open and what has not even asked, over all loops, and gives places back.
func TestConnectionsPerAddress(t *testing.T) {
	s := serve(t, Config{Raw: true, Loops: 2, Limits: Limits{PerAddress: 3}}, Echo{})
	held := []*client{open(t, s), open(t, s), dial(t, s)}
	eventually(t, "all are counted", func() bool { return s.counted() == 3 })
	refused := dial(t, s)
	refused.send([]byte(upgradeRequest("/")))
	checkAnswer(t, refused.r, 429, "Retry-After: 10", "limits.per_address")
	other := dialAddress(t, s.Addr().String(), 2)
	other.send([]byte(upgradeRequest("/")))
	checkAnswer(t, other.r, 101, "", "")
	for _, c := range held {
		c.Close()
	}
	refused.Close()
	eventually(t, "the places are free again", func() bool { return s.counted() == 1 })
	open(t, s).send(text("again"))
	limited := uint64(0)
	for _, l := range s.loops {
		onLoop(t, l, func() { limited += l.n.limited[limitAddress] })
	}
	if limited != 1 {
		t.Errorf("the limit was applied %d times", limited)
	}
}

// counted is the number of sockets in the table.
func (s *Server) counted() (n int) {
	for i := range s.shared.clients.shards {
		shard := &s.shared.clients.shards[i]
		shard.mu.Lock()
		for _, sockets := range shard.sockets {
			n += int(sockets)
		}
		shard.mu.Unlock()
	}
	return n
}

// TestSurplusConnections: of those that an address may not have, and that do not close when they are told, few keep a descriptor, for a short time.
// All are told, also those that find no place.
func TestSurplusConnections(t *testing.T) {
	for name, cfg := range map[string]Config{"direct": {Raw: true}, "behind a proxy": proxied(ProxyRequired)} {
		header := ""
		if cfg.ProxyProtocol == ProxyRequired {
			header = "PROXY TCP4 192.0.2.1 192.0.2.9 1 2\r\n"
		}
		cfg.Loops, cfg.Limits.PerAddress = 1, 1
		s := serve(t, cfg, Echo{})
		ask := func(status int) *client {
			c := dial(t, s)
			c.send([]byte(header + upgradeRequest("/")))
			checkAnswer(t, c.r, status, "", "")
			return c
		}
		first := ask(101)
		const more = 40
		for i := range surplusMax + more {
			ask(429)
			if i < surplusMax {
				continue
			}
			onLoop(t, s.loops[0], func() {
				if live := s.loops[0].live; live > 1+surplusMax {
					t.Errorf("%s: %d refused connections have a descriptor", name, live-1)
				}
			})
		}
		if err := s.Check(); err != nil {
			t.Error(err)
		}
		onLoop(t, s.loops[0], func() {
			l := s.loops[0]
			l.slots.each(func(c *Conn) {
				if c.surplus && l.dueOf(c) > c.since+l.cfg.ticks(surplusTime) {
					t.Errorf("%s: a refused connection may stay for %d ticks", name, l.dueOf(c)-c.since)
				}
			})
		})
		eventually(t, "the refused are gone", func() (gone bool) {
			onLoop(t, s.loops[0], func() { gone = s.loops[0].live == 1 && s.loops[0].surplus == 0 })
			return gone
		})
		limited := uint64(0)
		onLoop(t, s.loops[0], func() { limited = s.loops[0].n.limited[limitAddress] })
		if limited != surplusMax+more {
			t.Errorf("%s: the limit was applied %d times", name, limited)
		}
		first.send(text("served"))
		first.expect(ws.OpText, "served")
	}
}

// TestConnectionsPerAddressBehindAProxy counts the clients that the headers name, not the proxy.
func TestConnectionsPerAddressBehindAProxy(t *testing.T) {
	cfg := proxied(ProxyRequired)
	cfg.Limits.PerAddress = 1
	s := serve(t, cfg, Echo{})
	ask := func(header []byte, status int) *client {
		c := dial(t, s)
		c.send(append(bytes.Clone(header), upgradeRequest("/")...))
		checkAnswer(t, c.r, status, "", "")
		return c
	}
	first, second := []byte("PROXY TCP4 192.0.2.1 192.0.2.9 1 2\r\n"), []byte("PROXY TCP4 192.0.2.2 192.0.2.9 1 2\r\n")
	c := ask(first, 101)
	ask(second, 101)
	ask(first, 429)
	c.Close()
	eventually(t, "the place is free again", func() bool { return s.counted() == 1 })
	again := ask(first, 101)
	again.send(text("served"))
	again.expect(ws.OpText, "served")
}
