package netserver

import (
	"bytes"
	"math/rand/v2"
	"testing"
	"time"
)

// TestOutput compares with one buffer: whatever is appended and written in parts of any size comes out in order, and nothing is held in the end.
func TestOutput(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	var pool buffers
	for range 200 {
		o, model := &output{}, []byte(nil)
		for range 60 {
			if rnd.IntN(3) > 0 {
				p := make([]byte, rnd.IntN(1<<rnd.IntN(18)))
				for i := range p {
					p[i] = byte(rnd.Uint32())
				}
				o.append(&pool, p)
				model = append(model, p...)
			} else {
				pieces := o.first(make([][]byte, 0, 1+rnd.IntN(8)))
				leaving := bytes.Join(pieces, nil)
				if !bytes.HasPrefix(model, leaving) || len(leaving) == 0 != (len(model) == 0) {
					t.Fatal("something else would be written")
				}
				n := rnd.IntN(len(leaving) + 1)
				o.advance(&pool, n)
				model = model[n:]
			}
			if o.waiting() != len(model) || o.held != pool.held || o.held > 2*len(model)+2*largestPiece+o.off {
				t.Fatalf("%d bytes wait, not %d; %d held, %d of the pool", o.waiting(), len(model), o.held, pool.held)
			}
		}
		o.free(&pool)
		if pool.held != 0 || o.held != 0 || o.waiting() != 0 {
			t.Fatalf("%d bytes are still held", pool.held)
		}
	}
}

// TestOutputIsCut compares with one buffer: after a cut at any time, what leaves ends with the first noted end of a frame, and something else can follow.
func TestOutputIsCut(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	var pool buffers
	for range 200 {
		o, all, left, ends := &output{}, []byte(nil), 0, []int(nil)
		for range rnd.IntN(40) {
			if rnd.IntN(3) > 0 {
				p := make([]byte, 1+rnd.IntN(1<<rnd.IntN(16)))
				for i := range p {
					p[i] = byte(rnd.Uint32())
				}
				o.append(&pool, p)
				all = append(all, p...)
				if rnd.IntN(2) > 0 {
					o.mark()
					if n := len(ends); n == 0 || len(all)-ends[n-1] >= endsApart || ends[n-1] < left {
						ends = append(ends, len(all))
					}
				}
			} else {
				n := rnd.IntN(o.waiting() + 1)
				o.advance(&pool, n)
				left += n
			}
		}
		for len(ends) > 0 && ends[0] < left {
			ends = ends[1:]
		}
		if len(ends) > 0 {
			all = all[:ends[0]]
		}
		o.cut(&pool)
		o.append(&pool, []byte("bye"))
		all = append(all, "bye"...)
		if got := bytes.Join(o.first(make([][]byte, 0, 1000)), nil); !bytes.Equal(got, all[left:]) || o.waiting() != len(got) || o.held != pool.held {
			t.Fatalf("%d bytes leave, not %d; %d wait, %d held, %d of the pool", len(got), len(all)-left, o.waiting(), o.held, pool.held)
		}
		o.advance(&pool, o.waiting())
		if o.free(&pool); pool.held != 0 {
			t.Fatalf("%d bytes are still held", pool.held)
		}
	}
}

// TestOutputIsNotMoved: what waits stays where it is, however much follows.
func TestOutputIsNotMoved(t *testing.T) {
	var pool buffers
	o := &output{}
	o.append(&pool, make([]byte, 100))
	before := &o.first(make([][]byte, 0, 1))[0][0]
	for range 1000 {
		o.append(&pool, make([]byte, 1000))
	}
	if &o.first(make([][]byte, 0, 1))[0][0] != before {
		t.Error("it was copied")
	}
	if o.held > 100+1000*1000+2*largestPiece {
		t.Errorf("%d bytes are held for %d", o.held, o.waiting())
	}
	o.free(&pool)
}
