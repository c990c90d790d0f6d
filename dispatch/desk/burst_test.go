package desk

import (
	"fmt"
	"testing"

	"github.com/switchyard-im/switchyard/frame"
)

// 10,000 conversations come at once to 200 agents of capacity 5: 1,000 are served, the others wait in their order and are told so, and each gets
// the place that becomes free when it is first, until nobody waits.
func TestBurst(t *testing.T) {
	const agents, capacity, convs = 200, 5, 10_000
	d := New(Config{DefaultCapacity: capacity})
	for i := range agents {
		d.AgentUp(fmt.Sprint("agent", i), Profile{Groups: []string{"g"}})
	}
	told := map[frame.ID]Place{}
	look := func(nowMS int64) {
		d.Tick(nowMS)
		d.Places(func(p Place) { told[p.Conv] = p })
	}
	look(0)
	var order []frame.ID // as they were assigned
	take := func() {
		for _, e := range d.Take() {
			order = append(order, e.Conv)
		}
	}
	for i := range convs {
		d.Opened(Request{Conv: number(i), Group: "g", Visitor: fmt.Sprint("v", i), AtMS: int64(i / 100)})
		take()
	}
	look(1000)
	if len(order) != agents*capacity || len(told) != convs-len(order) {
		t.Fatalf("%d are served, %d that wait were told", len(order), len(told))
	}
	waiting := d.Snapshot("g", convs).Entries
	for i, e := range waiting {
		if p := told[e.Conv]; p.Place != i+1 || p.Of != len(waiting) {
			t.Fatalf("number %d of those that wait was told %+v", i+1, p)
		}
	}
	for closed := range convs {
		d.Closed(order[closed])
		take()
	}
	if err := d.Check(); err != nil {
		t.Fatal(err)
	}
	if len(order) != convs || len(d.convs) != 0 {
		t.Fatalf("%d were served, %d are left", len(order), len(d.convs))
	}
	for i, e := range waiting {
		if order[agents*capacity+i] != e.Conv {
			t.Fatalf("number %d of those that waited was overtaken", i+1)
		}
	}
}
