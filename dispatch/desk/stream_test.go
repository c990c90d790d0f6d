package desk

import (
	"bytes"
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/switchyard-im/switchyard/frame"
)

// replica is what a receiver of the stream keeps: it knows nothing but a snapshot and the deltas that reach it.
type replica struct {
	Snapshot
}

// receive takes in a delta; false if one before it is missing.
func (r *replica) receive(dl Delta) bool {
	switch {
	case dl.Version <= r.Version:
		return true
	case dl.Version != r.Version+1:
		return false
	}
	r.Version, r.Total = dl.Version, dl.Total
	at, there := slices.BinarySearchFunc(r.Entries, dl.Entry, compareEntries)
	if dl.Op == Added {
		r.Entries = slices.Insert(r.Entries, at, dl.Entry)
	} else if there {
		r.Entries = slices.Delete(r.Entries, at, at+1)
	}
	return true
}

func compareEntries(a, b Entry) int {
	if a.Front != b.Front {
		if a.Front {
			return -1
		}
		return 1
	}
	return cmp.Or(cmp.Compare(a.RankMS, b.RankMS), bytes.Compare(a.Conv[:], b.Conv[:]))
}

// A receiver that loses every twentieth delta notices each gap at the next one, and has exactly the queue whenever nothing is missing.
func TestReplicaFollowsTheQueue(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 1))
	gaps := 0
	for range 20 {
		d, now := New(randomConfig(r)), int64(0)
		d.Watch("g")
		rep, lost := replica{Snapshot: d.Snapshot("g", 1000)}, false
		for step := range 400 {
			apply(t, d, randomEvent(r, &now))
			for _, dl := range d.TakeDeltas() {
				if dl.Group != "g" {
					t.Fatalf("a delta of %s, which nobody watches", dl.Group)
				}
				if r.IntN(20) == 0 {
					lost = lost || dl.Version > rep.Version
				} else if !rep.receive(dl) {
					rep.Snapshot, lost = d.Snapshot("g", 1000), false
					gaps++
				}
			}
			if want := d.Snapshot("g", 1000); !lost && (want.Version != rep.Version || want.Total != rep.Total || !slices.Equal(want.Entries, rep.Entries)) {
				t.Fatalf("seed %d step %d: got %v, want %v", seed, step, rep.Snapshot, want)
			} else if lost && rep.Version >= want.Version {
				t.Fatalf("seed %d step %d: a lost delta cannot be seen", seed, step)
			}
		}
	}
	if gaps == 0 {
		t.Error("nothing was noticed")
	}
}

// Nobody is told more often than once a second, everybody near the front is told of each step, and nobody who waits believes to be far from
// where it is.
func TestPlacesAreMerged(t *testing.T) {
	d := New(Config{DefaultCapacity: 1})
	for i := range 1000 {
		d.Opened(Request{Conv: number(i), Group: "g", Visitor: "v", AtMS: int64(i)})
	}
	d.AgentUp("a", Profile{Groups: []string{"g"}})
	believed, toldAt, told := map[string]int{}, map[string]int64{}, 0
	serving, _ := d.Take()[0], 0
	for now := int64(10_000); now < 60_000; now += 100 {
		d.Tick(now)
		d.Closed(serving.Conv)
		serving = d.Take()[0]
		d.Places(func(p Place) {
			name := p.Conv.String()
			if last, ok := toldAt[name]; ok && now-last < 1000 {
				t.Fatalf("%s was told at %d and at %d", name, last, now)
			}
			believed[name], toldAt[name] = p.Place, now
			told++
		})
	}
	far := 0
	for n := d.groups["g"].queue.first(); n != nil; n = n.next() {
		place, _ := d.Place(n.value.id)
		if diff := believed[place.Conv.String()] - place.Place; diff < 0 || diff > 10+place.Place/8 {
			t.Errorf("%s believes to be %d, is %d", place.Conv, believed[place.Conv.String()], place.Place)
		}
		far++
	}
	if all := 1000 * 50; far < 400 || told > all/2 {
		t.Errorf("%d wait, %d were told", far, told)
	}
}

// What is expected follows from the last 32 that were taken, in the time in which somebody waited.
func TestExpectedWait(t *testing.T) {
	d := New(Config{DefaultCapacity: 1})
	d.AgentUp("a", Profile{Groups: []string{"g"}})
	next := 0
	open := func() { d.Opened(Request{Conv: number(next), Group: "g", Visitor: "v", AtMS: int64(next)}); next++ }
	expect := func(conv int, want int64) {
		t.Helper()
		if p, ok := d.Place(number(conv)); !ok || p.WaitMS != want {
			t.Errorf("conversation %d: got %v %v, want %d", conv, p, ok, want)
		}
	}
	for range 50 {
		open()
	}
	expect(1, -1)
	for i := range 40 { // one every second
		d.Tick(int64(1000 * (i + 1)))
		d.Closed(number(i))
	}
	expect(41, 1000)
	expect(49, 9000)
	d.Tick(40_500)
	expect(41, 1000) // nothing is late yet
	d.Tick(72_000)
	expect(41, 1968) // 63 s for 32: slower by the half minute in which nobody was taken
	for i := 40; i < 50; i++ {
		d.Closed(number(i))
	}
	if _, ok := d.Place(number(49)); ok {
		t.Error("a closed conversation has a place")
	}
	d.Tick(72_000 + 10*3_600_000) // a night
	open()
	open()
	if p, _ := d.Place(number(next - 1)); p.WaitMS > 10_000 {
		t.Errorf("after a quiet night: %v", p)
	}
}

// In a long queue one look tells those who came, and goes through a bounded part of the rest; all are told in the end, then nobody is.
func TestPlacesOfALongQueue(t *testing.T) {
	const waiting, taken = 20_000, 5_000
	d := New(Config{DefaultCapacity: taken})
	open := func(i int) { d.Opened(Request{Conv: number(i), Group: "g", Visitor: "v", AtMS: int64(i)}) }
	look := func() (told map[frame.ID]int) {
		told = map[frame.ID]int{}
		d.Tick(d.now + placesEvery)
		d.Places(func(p Place) { told[p.Conv] = p.Place })
		return told
	}
	look()
	for i := range waiting {
		open(i)
	}
	if told := look(); len(told) < maxFresh || told[number(maxFresh-1)] != maxFresh {
		t.Errorf("%d of %d who came were told", len(told), waiting)
	}
	for len(look()) > 0 || len(d.moved) > 0 {
	}
	d.AgentUp("a", Profile{Groups: []string{"g"}})
	open(waiting)
	told := look()
	if told[number(waiting)] != waiting-taken+1 || told[number(taken)] != 1 || len(told) > 1+near+stretch {
		t.Errorf("the new one was told %d, the next %d; %d in all", told[number(waiting)], told[number(taken)], len(told))
	}
	looks := 1
	for ; len(d.moved) > 0; looks++ {
		look()
	}
	for n := d.groups["g"].queue.first(); n != nil; n = n.next() {
		if at := n.place() + 1; int(n.value.told)-at > int(n.value.told)/16 || int(n.value.told) < at {
			t.Fatalf("%s is %d, was told %d", n.value.id, at, n.value.told)
		}
	}
	if looks > waiting/stretch+2 {
		t.Errorf("%d looks", looks)
	}
}

// BenchmarkPlaces is what one look a second costs while 100,000 wait.
func BenchmarkPlaces(b *testing.B) {
	d := New(Config{DefaultCapacity: 1})
	d.AgentUp("a", Profile{Groups: []string{"g"}})
	for i := range manyQueued {
		d.Opened(Request{Conv: number(i), Group: "g", Visitor: fmt.Sprint(i), AtMS: int64(i)})
	}
	i, told, cpu := 0, 0, processCPU()
	for b.Loop() {
		d.Tick(int64(i) * placesEvery)
		d.Closed(number(i))
		d.Opened(Request{Conv: number(manyQueued + i), Group: "g", Visitor: "v", AtMS: int64(manyQueued + i)})
		d.Take()
		d.Places(func(Place) { told++ })
		i++
	}
	b.ReportMetric(float64(processCPU()-cpu)/float64(b.N), "cpu-ns/op")
	b.ReportMetric(float64(told)/float64(b.N), "told/op")
}
