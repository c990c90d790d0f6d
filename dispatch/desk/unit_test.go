package desk

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"unsafe"
)

func TestTree(t *testing.T) {
	tr := tree[int]{compare: func(a, b int) int { return cmp.Compare(a, b) }}
	nodes, r := make([]node[int], 300), rand.New(rand.NewPCG(1, 2))
	var want []int
	for step := range 5000 {
		i := r.IntN(len(nodes))
		at, there := slices.BinarySearch(want, i)
		if there {
			if p := nodes[i].place(); p != at {
				t.Fatalf("step %d: %d is at %d, want %d", step, i, p, at)
			}
			tr.remove(&nodes[i])
			want = slices.Delete(want, at, at+1)
		} else {
			nodes[i].value = i
			tr.insert(&nodes[i])
			want = slices.Insert(want, at, i)
		}
		var got []int
		for n := tr.first(); n != nil; n = n.next() {
			got = append(got, n.value)
		}
		if !slices.Equal(got, want) || tr.len() != len(want) || nodes[i].in() == there {
			t.Fatalf("step %d: got %v (%d), want %v", step, got, tr.len(), want)
		}
	}
}

func TestValidateNamesTheRemedy(t *testing.T) {
	for want, cfg := range map[string]Config{
		"choose least_active":  {Default: GroupConfig{Strategy: "fastest"}},
		"leave it out":         {DefaultCapacity: -1},
		"not be negative":      {Groups: map[string]GroupConfig{"g": {MaxQueue: -1}}},
		"set one":              {Groups: map[string]GroupConfig{"g": {Fallback: "h"}}},
		"let the last one":     {Groups: map[string]GroupConfig{"g": {Fallback: "h", MaxQueue: 1}, "h": {Fallback: "g", MaxQueue: 1}}},
		"group default: its":   {Default: GroupConfig{Fallback: "h", MaxQueue: 1}},
		"lead in a circle; le": {Default: GroupConfig{Fallback: "h", MaxQueue: 1}, Groups: map[string]GroupConfig{"g": {Fallback: "x", MaxQueue: 1}}},
	} {
		if err := cfg.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: got %v, want %q", cfg, err, want)
		}
	}
	if err := (Config{}).Validate(); err != nil {
		t.Error(err)
	}
}

// More kinds of needs than there is room for: those that nobody waits with make room, and when none does, the new kind is refused.
func TestLanesAreBounded(t *testing.T) {
	d := New(Config{})
	d.AgentUp("a", Profile{Groups: []string{"g"}, Skills: []string{"old"}})
	for i := range 2 * maxLanes {
		d.Opened(Request{Conv: number(i), Group: "g", Visitor: "v", Need: Need{Preferred: []string{fmt.Sprint("like", i)}}})
		d.Closed(number(i))
	}
	if n := len(d.groups["g"].lanes); n > maxLanes {
		t.Errorf("%d lanes", n)
	}
	d.Take()
	refused := 0
	for i := range maxLanes + 10 {
		d.Opened(Request{Conv: number(i), Group: "g", Visitor: "v", Need: Need{Required: []string{fmt.Sprint("rare", i)}}})
		for _, e := range d.Take() {
			if e.Kind == Refuse {
				refused++
			}
		}
	}
	if n := len(d.groups["g"].lanes); n > maxLanes || refused != 10 {
		t.Errorf("%d lanes, %d refused", n, refused)
	}
	if err := d.Check(); err != nil {
		t.Error(err)
	}
}

// A conversation that waits is small: there may be very many.
func TestConversationIsSmall(t *testing.T) {
	if n := unsafe.Sizeof(conversation{}); n > 192 {
		t.Errorf("a conversation has %d bytes", n)
	}
	d := New(Config{})
	d.Opened(Request{Conv: number(1), Group: "g", Visitor: "v"})
	if c := d.convs[number(1)]; c.past != nil || c.rare != nil || c.need != &noNeed {
		t.Errorf("it has %v, %v, %v beside it", c.past, c.rare, c.need)
	}
}

// What is remembered of visitors is bounded; the latest are not forgotten.
func TestStickyIsBounded(t *testing.T) {
	var s sticky
	for i := range 5 * stickyHalf {
		s.put(stickyKey{"g", fmt.Sprint(i)}, lastServed{"a", 10})
	}
	if n := len(s.young) + len(s.old); n > 2*stickyHalf {
		t.Errorf("%d are remembered", n)
	}
	if s.get(stickyKey{"g", fmt.Sprint(5*stickyHalf - 1)}, 1) != "a" || s.get(stickyKey{"g", "0"}, 1) != "" {
		t.Error("forgot the wrong one")
	}
}
