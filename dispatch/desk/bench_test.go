package desk

import (
	"encoding/binary"
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/switchyard-im/switchyard/frame"
)

const (
	manyAgents = 10_000
	manyQueued = 100_000
)

// crowded is a desk with 10,000 agents of capacity 5 in 20 groups (each in two), and as many conversations as fill them and 100,000 that wait. A third
// of the conversations need a skill, a third prefer one and a language.
func crowded(waiting int) (*Desk, []frame.ID) {
	d := New(Config{DefaultCapacity: 5})
	for i := range manyAgents {
		d.AgentUp(fmt.Sprintf("agent%d", i), Profile{
			Groups: []string{groupName(i), groupName(i / 20)}, Skills: []string{"all", skillName(i), skillName(i / 7)}, Languages: []string{"en", "de"},
		})
	}
	convs := make([]frame.ID, waiting)
	for i := range convs {
		convs[i] = number(i)
		d.Opened(crowdRequest(i))
		d.Take()
	}
	return d, convs
}

func groupName(i int) string { return fmt.Sprintf("group%d", i%20) }
func skillName(i int) string { return fmt.Sprintf("skill%d", i%6) }

func number(i int) (id frame.ID) {
	binary.BigEndian.PutUint64(id[:], uint64(i)*0x9E3779B97F4A7C15)
	binary.BigEndian.PutUint64(id[8:], uint64(i))
	return id
}

func crowdRequest(i int) Request {
	r := Request{Conv: number(i), Group: groupName(i), Visitor: "visitor", AtMS: int64(i), Priority: i % 3}
	switch i % 3 {
	case 1:
		r.Need.Required = []string{skillName(i)}
	case 2:
		r.Need = Need{Preferred: []string{skillName(i)}, Language: "de"}
	}
	return r
}

// BenchmarkFromQueue closes conversations that are served while 100,000 wait, and opens as many: each close is a decision, who of those that wait gets
// the agent. The memory of the desk is cold to each.
func BenchmarkFromQueue(b *testing.B) {
	served := manyAgents * 5
	d, convs := crowded(served + manyQueued)
	next := len(convs)
	var open []frame.ID // served, in the order of their assignment
	for id, c := range d.convs {
		if c.agent != nil {
			open = append(open, id)
		}
	}
	cpu := processCPU()
	for b.Loop() {
		d.Opened(crowdRequest(next))
		d.Closed(open[0])
		open = open[1:]
		for _, e := range d.Take() {
			open = append(open, e.Conv)
		}
		next++
	}
	b.ReportMetric(float64(processCPU()-cpu)/float64(b.N), "cpu-ns/op")
	b.ReportMetric(float64(len(d.convs)-served), "waiting")
}

// BenchmarkToAgent opens conversations while 10,000 agents are free in part, and closes as many.
func BenchmarkToAgent(b *testing.B) {
	d, convs := crowded(manyAgents)
	next := len(convs)
	cpu := processCPU()
	for b.Loop() {
		d.Opened(crowdRequest(next))
		d.Take()
		d.Closed(number(next - manyAgents))
		next++
	}
	b.ReportMetric(float64(processCPU()-cpu)/float64(b.N), "cpu-ns/op")
	b.ReportMetric(float64(len(d.convs)), "open")
}

// processCPU is what the process used so far: on a busy machine the clock counts others too.
func processCPU() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// The cost of a decision grows by far less than the number of those it chooses from: 16 times as many, at most 10 times the cost, most of it
// memory that is not in a cache any more. A search through all of them costs more than 16 times as much.
func TestDecisionsDoNotSearch(t *testing.T) {
	cost := func(agents int) time.Duration {
		d := New(Config{DefaultCapacity: 2})
		for i := range agents {
			d.AgentUp(fmt.Sprint("a", i), Profile{Groups: []string{"g"}})
		}
		opened := 0
		open := func() {
			d.Opened(Request{Conv: number(opened), Group: "g", Visitor: "v", AtMS: int64(opened)})
			opened++
		}
		for range 10 * agents {
			open()
		}
		d.Take()
		least := time.Duration(1 << 62)
		for range 5 {
			start := processCPU()
			for range agents {
				d.Closed(number(opened - 10*agents))
				open()
				d.Take()
			}
			least = min(least, (processCPU()-start)/time.Duration(agents))
		}
		return least
	}
	small, large := cost(500), cost(8_000)
	if large > 10*small {
		t.Errorf("a decision costs %v with 500 agents, %v with 8,000", small, large)
	}
}

// BenchmarkOpening is the moment in which a group opens that 100,000 wait for, with 1,000 agents who are free: they are given away in one call.
func BenchmarkOpening(b *testing.B) {
	for b.Loop() {
		b.StopTimer()
		day := shift{open: 1000, period: 10_000}
		d := New(Config{DefaultCapacity: 5, Default: GroupConfig{Hours: day, Outside: OutsideQueue}})
		d.Tick(2000)
		for i := range 1000 {
			d.AgentUp(fmt.Sprintf("agent%d", i), Profile{Groups: []string{"group"}})
		}
		for i := range manyQueued {
			d.Opened(Request{Conv: number(i), Group: "group", Visitor: "visitor", AtMS: 2000, Priority: i % 3})
		}
		d.Take()
		b.StartTimer()
		d.Tick(10_000)
		if got := len(d.Take()); got != 5000 {
			b.Fatalf("%d were given away", got)
		}
	}
}
