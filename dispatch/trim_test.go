package dispatch

import (
	"bytes"
	"encoding/binary"
	"log/slog"
	"math/rand/v2"
	"runtime"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/switchyard-im/switchyard/dispatch/core"
	"github.com/switchyard-im/switchyard/frame"
)

// TestRingGivesBackABacklog: what lies behind the front is released once after a backlog, when it is over.
func TestRingGivesBackABacklog(t *testing.T) {
	r := newRing(1024, 1<<20)
	released := 0
	trim := func() int {
		released = 0
		r.trim(func(b []byte) { released += len(b) })
		return released
	}
	f, nobody := make([]byte, 1000), func(*inbound, []byte) {}
	for range 1000 {
		r.push(core.Origin{}, frame.TypeSend, f, 0)
		r.drain(nobody)
	}
	if n := trim(); n != 0 {
		t.Errorf("%d bytes are released of a ring that stayed at its front", n)
	}
	for range 1000 {
		r.push(core.Origin{Who: &core.Identity{}}, frame.TypeSend, f, 0)
	}
	if n := trim(); n != 0 {
		t.Errorf("%d bytes are released of a ring in use", n)
	}
	r.drain(nobody)
	if n := trim(); n < 1<<20*(farFront-1)/farFront+1000*(farFront-1)/farFront {
		t.Errorf("%d bytes are released after a backlog", n)
	}
	for i := range r.entries[len(r.entries)/farFront:] {
		if r.entries[len(r.entries)/farFront+i] != (inbound{}) {
			t.Fatal("an entry that was released is not zero")
		}
	}
	if n := trim(); n != 0 {
		t.Errorf("%d bytes are released again", n)
	}
}

// TestRingTrimLosesNothing trims while frames go through, and what is released is destroyed at once.
func TestRingTrimLosesNothing(t *testing.T) {
	const frames = 20_000
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r, who := newRing(256, 1<<14), &core.Identity{}
	trimmed := make(chan int, 1)
	go func() {
		rnd := rand.New(rand.NewPCG(seed, 1))
		released, f := 0, make([]byte, 300)
		for i := uint64(0); i < frames; {
			binary.BigEndian.PutUint64(f, i)
			if r.push(core.Origin{Conn: frame.ConnID(i), Who: who}, frame.TypeSend, f[:8+rnd.IntN(200)], int64(i)) {
				i++
			} else {
				runtime.Gosched()
			}
			if rnd.IntN(8) == 0 {
				r.trim(func(b []byte) {
					released++
					clear(b)
				})
			}
		}
		trimmed <- released
	}()
	for next := uint64(0); next < frames; {
		r.drain(func(in *inbound, f []byte) {
			if got := binary.BigEndian.Uint64(f); got != next || uint64(in.from.Conn) != next || in.from.Who != who {
				t.Fatalf("seed %d: frame %d came when %d was due", seed, got, next)
			}
			next++
		})
		runtime.Gosched()
	}
	t.Logf("released %d times", <-trimmed)
}

func TestQuietTicks(t *testing.T) {
	var q quietTicks
	for i, tc := range []struct {
		frames int
		want   bool
	}{{quietFrames, false}, {0, false}, {quietFrames - 1, true}, {0, true}, {quietFrames, false}, {0, false}, {0, true}} {
		q.frames += tc.frames
		q.tick()
		if q.quiet() != tc.want {
			t.Errorf("tick %d: quiet is %v", i, q.quiet())
		}
	}
}

// storeOfNothing is available and never asked for anything.
type storeOfNothing struct{ Store }

func (storeOfNothing) Generation() uint64 { return 1 }
func (storeOfNothing) Available() bool    { return true }

// TestQuietRunnerTrimsItsUnits: a unit that grew is small again when a quiet runner begins a batch with it, and not while it is busy.
func TestQuietRunnerTrimsItsUnits(t *testing.T) {
	c, err := New(Config{Loops: 1, Runners: 1}, storeOfNothing{}, nil, nil, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(t.Context())
	r := c.runners[0]
	u := <-r.free
	u.effects.Buf = bytes.Repeat([]byte{1}, unitKeep)
	u.effects.Targets = make([]frame.Target, 2*idleItems)
	u.parcels[0].Targets = make([]frame.Target, 2*idleItems)
	r.begin(u)
	r.machine.End()
	if cap(u.effects.Buf) != unitKeep || cap(u.effects.Targets) < idleItems || cap(u.parcels[0].Targets) < idleItems {
		t.Error("a unit of a busy runner was trimmed")
	}
	r.quiet.tick()
	r.quiet.tick()
	r.begin(u)
	r.machine.End()
	if cap(u.effects.Buf)+cap(u.effects.Targets)+cap(u.parcels[0].Targets) != 0 {
		t.Error("a unit of a quiet runner was not trimmed")
	}
}
