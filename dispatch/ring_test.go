package dispatch

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"runtime"
	"testing"
	"time"

	"github.com/switchyard-im/switchyard/dispatch/core"
	"github.com/switchyard-im/switchyard/frame"
)

// TestRingOrder pushes frames of random sizes through a small ring from one goroutine to another: all arrive, in order, unaltered.
func TestRingOrder(t *testing.T) {
	const frames = 50_000
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := newRing(64, 4096)
	go func() {
		rnd := rand.New(rand.NewPCG(seed, 1))
		buf := make([]byte, 600)
		for i := uint64(0); i < frames; {
			f := buf[:8+rnd.IntN(500)]
			binary.BigEndian.PutUint64(f, i)
			for j := 8; j < len(f); j++ {
				f[j] = byte(i)
			}
			for !r.push(core.Origin{Conn: frame.ConnID(i)}, frame.TypeSend, f, int64(i)) {
				runtime.Gosched()
			}
			i++
		}
	}()
	for next := uint64(0); next < frames; {
		r.drain(func(in *inbound, f []byte) {
			if got := binary.BigEndian.Uint64(f); got != next || uint64(in.from.Conn) != next || in.arrived != int64(next) {
				t.Fatalf("seed %d: frame %d came when %d was due", seed, got, next)
			}
			for _, b := range f[8:] {
				if b != byte(next) {
					t.Fatalf("seed %d: frame %d was altered", seed, next)
				}
			}
			next++
		})
		runtime.Gosched()
	}
	if !r.empty() || r.depth() != 0 {
		t.Errorf("the ring still holds %d frames", r.depth())
	}
}

// TestRingStaysAtItsFront: a ring that is emptied now and then does not touch memory far from its front, and one that was far behind
// goes back there.
func TestRingStaysAtItsFront(t *testing.T) {
	r := newRing(1024, 1<<20)
	f := make([]byte, 1000)
	far := func() (off uint32) {
		r.drain(func(in *inbound, _ []byte) { off = max(off, in.off) })
		return off
	}
	push := func() {
		if !r.push(core.Origin{}, frame.TypeSend, f, 0) {
			t.Fatal("no room")
		}
	}
	for range 1000 {
		push()
		if off := far(); off > 1<<20/farFront {
			t.Fatalf("a frame lies at %d", off)
		}
	}
	for range 2 {
		for range 1000 {
			push()
		}
		if off := far(); off < 900_000 {
			t.Fatalf("a thousand frames end at %d", off)
		}
	}
	push()
	if off := far(); off != 0 {
		t.Errorf("after a backlog a frame lies at %d", off)
	}
}

func TestRingFull(t *testing.T) {
	r := newRing(4, 1024)
	for i := range 4 {
		if !r.push(core.Origin{}, 1, []byte{byte(i)}, 0) {
			t.Fatalf("frame %d of 4 did not fit", i)
		}
	}
	if r.push(core.Origin{}, 1, []byte{9}, 0) {
		t.Error("a fifth frame fitted into four places")
	}
	r.drain(func(*inbound, []byte) {})
	big := make([]byte, 700)
	if !r.push(core.Origin{}, 1, big, 0) || r.push(core.Origin{}, 1, big, 0) {
		t.Error("of two frames of 700 bytes, one fits into 1,024")
	}
	r.drain(func(*inbound, []byte) {})
	if !r.push(core.Origin{}, 1, big, 0) {
		t.Error("an empty ring refuses")
	}
}

func TestRingAllocatesNothing(t *testing.T) {
	r := newRing(1024, 1<<20)
	f := bytes.Repeat([]byte{1}, 200)
	fn := func(*inbound, []byte) {}
	if n := testing.AllocsPerRun(100, func() {
		for range 100 {
			r.push(core.Origin{}, 1, f, 0)
		}
		r.drain(fn)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// TestWaker: whatever the order of publishing and falling asleep, the sleeper wakes.
func TestWaker(t *testing.T) {
	w := newWaker()
	r := newRing(8, 64)
	const frames = 20_000
	go func() {
		for i := 0; i < frames; {
			if r.push(core.Origin{}, 1, []byte{1}, 0) {
				i++
				w.wake()
			}
			if i%7 == 0 {
				runtime.Gosched()
			}
		}
	}()
	got := 0
	for got < frames {
		w.sleep(func() bool { return r.empty() })
		got += r.drain(func(*inbound, []byte) {})
	}
}

func TestDeadlines(t *testing.T) {
	d := newDeadlines(100)
	d.add(103, 1)
	d.add(90, 2) // past: the next sweep
	d.add(103, 3)
	if got := d.sweep(101); len(got) != 1 || got[0] != 2 {
		t.Errorf("second 101: %v", got)
	}
	if got := d.sweep(102); got != nil {
		t.Errorf("second 102: %v", got)
	}
	if got := d.sweep(110); len(got) != 2 || got[0] != 1 || got[1] != 3 {
		t.Errorf("second 110: %v", got)
	}
	if len(d.at) != 0 {
		t.Errorf("%d seconds are left behind", len(d.at))
	}
}

func BenchmarkRing(b *testing.B) {
	r := newRing(4096, 1<<20)
	f := bytes.Repeat([]byte{1}, 200)
	fn := func(*inbound, []byte) {}
	for i := 0; b.Loop(); i++ {
		r.push(core.Origin{}, 1, f, 0)
		if i%256 == 255 {
			r.drain(fn)
		}
	}
}
