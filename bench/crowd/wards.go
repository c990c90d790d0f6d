package crowd

import (
	"context"
	"time"

	"github.com/switchyard-im/switchyard/bench/client"
	"github.com/switchyard-im/switchyard/bench/meter"
	"github.com/switchyard-im/switchyard/bench/oracle"
	"github.com/switchyard-im/switchyard/bench/report"
)

// Wards is a crowd of guests, spread over the scene's loops and over as many clerks as they need.
type Wards struct {
	scene *Scene
	loops [][]*Ward // by loop
}

// Connections is how many connections guests and their clerks need.
func Connections(guests int) int { return guests + (guests+WardSize-1)/WardSize }

// NewWards makes wards for so many guests; prepare, if any, is called on each ward's loop before it opens.
func (s *Scene) NewWards(guests, size int, prepare func(w *Ward)) (*Wards, error) {
	ws := &Wards{scene: s, loops: make([][]*Ward, len(s.Fleet.Loops))}
	errs := make([]error, len(s.Fleet.Loops))
	s.Fleet.Each(func(i int, l *client.Loop) {
		for from := i * WardSize; from < guests && errs[i] == nil; from += len(s.Fleet.Loops) * WardSize {
			w, err := s.NewWard(l, from+from/WardSize, min(WardSize, guests-from), size)
			if err == nil {
				w.Number = from / WardSize
				prepare(w)
				ws.loops[i] = append(ws.loops[i], w)
			}
			errs[i] = err
		}
	})
	for _, err := range errs {
		if err != nil {
			return nil, err
		}
	}
	return ws, nil
}

// Each runs fn for every ward, on its loop, and waits.
func (ws *Wards) Each(fn func(w *Ward)) { ws.EachOn(func(_ int, w *Ward) { fn(w) }) }

// EachOn is Each for those who keep something for each loop.
func (ws *Wards) EachOn(fn func(loop int, w *Ward)) {
	ws.scene.Fleet.Each(func(i int, _ *client.Loop) {
		for _, w := range ws.loops[i] {
			fn(i, w)
		}
	})
}

// OneByOne runs fn for every ward, on its loop, one loop after the other, for what adds to one place.
func (ws *Wards) OneByOne(fn func(w *Ward)) {
	for i, l := range ws.scene.Fleet.Loops {
		done := make(chan struct{})
		l.Post(func() {
			defer close(done)
			for _, w := range ws.loops[i] {
				fn(w)
			}
		})
		<-done
	}
}

// Len is the number of wards, which are numbered from 0.
func (ws *Wards) Len() (n int) {
	for _, l := range ws.loops {
		n += len(l)
	}
	return n
}

// Sum adds a figure of all wards.
func (ws *Wards) Sum(figure func(w *Ward) int64) int64 {
	return ws.scene.Sum(func(i int) (n int64) {
		for _, w := range ws.loops[i] {
			n += figure(w)
		}
		return n
	})
}

// Show adds to a sample what the wards have done, how many guests are welcomed on their connections, and the latencies that a loop has, each on its own
// goroutine.
func (ws *Wards) Show(s *meter.Sample, latencies func(loop int) map[string]*report.Latency) {
	parts := make([]meter.Sample, len(ws.loops))
	ws.scene.Fleet.Each(func(i int, _ *client.Loop) {
		parts[i].Latencies = latencies(i)
		for _, w := range ws.loops[i] {
			parts[i].Add(&meter.Sample{Counts: counts(&w.Ledger), Gauges: map[string]float64{"connections": float64(w.Welcome), "under_way": float64(w.Under)}})
		}
	})
	for i := range parts {
		s.Add(&parts[i])
	}
}

// counts is a ledger as a sample has it.
func counts(l *oracle.Ledger) map[string]int64 {
	return map[string]int64{"sent": l.Sent, "accepted": l.Accepted, "delivered": l.Delivered, "violations": l.Total()}
}

// Wait lets the run go on until the figure, summed over all wards, has come to want.
func (ws *Wards) Wait(ctx context.Context, what string, want int64, within time.Duration, figure func(w *Ward) int64) error {
	return ws.scene.Wait(ctx, what, want, within, func(i int) (n int64) {
		for _, w := range ws.loops[i] {
			n += figure(w)
		}
		return n
	})
}

// Open dials everybody and waits until all conversations are open and assigned.
func (ws *Wards) Open(ctx context.Context, guests int, within time.Duration) error {
	ws.Each((*Ward).Open)
	return ws.Wait(ctx, "conversations are open and assigned", int64(guests), within, func(w *Ward) int64 { return w.Attached })
}

// Finish judges all wards and closes their conversations.
func (ws *Wards) Finish() Verdict {
	parts := make([]oracle.Ledger, len(ws.loops))
	ws.scene.Fleet.Each(func(i int, _ *client.Loop) {
		for _, w := range ws.loops[i] {
			w.Finish()
			parts[i].Merge(&w.Ledger)
			w.CloseConversations()
		}
	})
	var all oracle.Ledger
	for i := range parts {
		all.Merge(&parts[i])
	}
	return Judge(&all)
}
