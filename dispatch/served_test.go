package dispatch_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/switchyard-im/switchyard/dispatch"
	"github.com/switchyard-im/switchyard/dispatch/core"
	"github.com/switchyard-im/switchyard/dispatch/desk"
	"github.com/switchyard-im/switchyard/dispatch/memstore"
	"github.com/switchyard-im/switchyard/dispatch/storetest"
	"github.com/switchyard-im/switchyard/frame"
)

// keep puts memos of conversations that ended some time ago.
func keep(t *testing.T, store *memstore.Store, all ...core.Served) {
	t.Helper()
	tx, w := store.Begin(store.Generation()), storetest.NewWaiter(1)
	for _, s := range all {
		m := s.Memo()
		tx.Memo(m.Key, m.Value)
	}
	tx.Commit(w)
	if err := w.Wait(t); err != nil {
		t.Fatal(err)
	}
}

func served(group, visitor, agent string, ago time.Duration) core.Served {
	return core.Served{Group: group, Visitor: visitor, Agent: agent, EndedMS: time.Now().Add(-ago).UnixMilli()}
}

func kept(t *testing.T, store *memstore.Store) (all []core.Served) {
	t.Helper()
	if err := store.Memos(core.ServedMemos, func(key string, value []byte) error {
		s, err := core.DecodeServed(key, value)
		all = append(all, s)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return all
}

// TestServedIsForgotten: of who served visitors the store keeps what still counts, and beyond as many as the desk remembers the latest.
func TestServedIsForgotten(t *testing.T) {
	cfg := dispatch.Config{Groups: map[string]dispatch.GroupConfig{"g": {Sticky: 2 * time.Hour}}}
	withCenter(t, cfg, func(c *center) {
		time.Sleep(time.Second) // it has looked once
		const beyond = 2500     // more than go in one transaction
		var all []core.Served
		for n := range desk.StickyMost + beyond {
			all = append(all, served("g", fmt.Sprintf("v%06d", n), "a", time.Hour-time.Duration(n)*time.Millisecond))
		}
		for n := range 1500 {
			all = append(all, served("g", fmt.Sprint("v", n), "a", 3*time.Hour), served("not sticky", fmt.Sprint("v", n), "a", time.Hour))
		}
		keep(t, c.store, all...)
		time.Sleep(10 * time.Minute)
		got := kept(t, c.store)
		if len(got) != desk.StickyMost || got[0] != all[beyond] || got[len(got)-1] != all[desk.StickyMost+beyond-1] {
			t.Errorf("%d are kept, from %+v to %+v", len(got), got[0], got[len(got)-1])
		}
	})
}

// TestServedIsErased: an erased visitor, or agent, is in no memo any more, and the desk does not know it either.
func TestServedIsErased(t *testing.T) {
	cfg := dispatch.Config{Groups: map[string]dispatch.GroupConfig{"g": {Strategy: desk.RoundRobin, Sticky: time.Hour}}}
	withCenter(t, cfg, func(c *center) {
		agents := map[string]*conn{"a": c.login("a", frame.RoleAgent), "b": c.login("b", frame.RoleAgent)}
		c.send(agents["b"], (&frame.Status{Ref: 1, Status: frame.AgentOnline, Capacity: 7}).Append(nil))
		keep(t, c.store, served("g", "v9", "gone", 0), served("g", "gone", "b", 0))
		if got := c.follow(agents, "1 -1 1 -1"); got != "a a" {
			t.Fatalf("before it is erased: %s", got)
		}
		for _, user := range []string{"v1", "gone", "b"} {
			if err := c.Erase(context.Background(), user, nil); err != nil {
				t.Fatal(err)
			}
		}
		if got := kept(t, c.store); len(got) != 0 {
			t.Errorf("kept: %+v", got)
		}
		if err := c.store.Memos(core.CapacityMemos, func(key string, _ []byte) error { return fmt.Errorf("%s is kept", key) }); err != nil {
			t.Error(err)
		}
		if got := c.follow(agents, "2 3 4 5 1"); got != "b a b a b" {
			t.Errorf("after it was erased: %s", got)
		}
	})
}
