package switchyard

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// check verifies the invariants of track.
func (t *track) check(tb testing.TB) {
	tb.Helper()
	if !slices.IsSorted(t.own) || len(t.own) > 0 && (t.own[0] <= t.last || t.head < t.own[len(t.own)-1]) || t.head < t.last {
		tb.Fatalf("track is broken: %+v", *t)
	}
}

// A stream of a conversation of which some messages are our own, with acks that come early, late or twice, messages that come twice, and gaps that a
// resume fills: what is delivered is every message of others, once, in order.
func TestTrackAgainstTheObvious(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	for range 300 {
		const n = 60
		mine := make([]bool, n+1)
		for seq := range mine {
			mine[seq] = r.IntN(3) == 0
		}
		checkTrack(t, r, mine)
	}
}

func checkTrack(t *testing.T, r *rand.Rand, mine []bool) {
	var tr track
	var got, want []uint64
	n := uint64(len(mine) - 1)
	for seq := uint64(1); seq <= n; seq++ {
		if !mine[seq] {
			want = append(want, seq)
		}
	}
	for at := uint64(1); at <= n; at++ {
		if mine[at] && r.IntN(10) > 0 { // else its ack is lost, and a replay brings it
			tr.ack(at)
			if r.IntN(4) == 0 {
				tr.ack(at)
			}
		} else if r.IntN(6) > 0 && !mine[at] {
			got = take(&tr, got, at)
			if r.IntN(4) == 0 {
				got = take(&tr, got, at)
			}
		}
		tr.check(t)
	}
	for seq := tr.last + 1; seq <= n; seq++ { // the resume; our own unacked messages are known by their ids
		if mine[seq] {
			tr.ack(seq)
		}
		got = take(&tr, got, seq)
		tr.check(t)
	}
	if !slices.Equal(got, want) || tr.last != n || tr.head != n {
		t.Fatalf("delivered %v, want %v; %+v", got, want, tr)
	}
}

func take(tr *track, got []uint64, seq uint64) []uint64 {
	if tr.message(seq, seq-1) == fresh {
		return append(got, seq)
	}
	return got
}

// The first message of a new epoch does not follow by number, only by its prev.
func TestTrackOverEpochs(t *testing.T) {
	tr := track{last: 7, head: 7}
	next := uint64(1<<37 | 8)
	tr.ack(next)
	if tr.last != 7 {
		t.Errorf("an ack of the next epoch moves last to %d", tr.last)
	}
	if v := tr.message(next, 7); v != ours || tr.last != next {
		t.Errorf("verdict %v, %+v", v, tr)
	}
	if v := tr.message(next+1, next); v != fresh {
		t.Errorf("verdict %v", v)
	}
}

func TestTrackForgetsTheOldestOwn(t *testing.T) {
	tr := track{last: 1, head: 1}
	for seq := uint64(3); seq < 3+maxOwn+10; seq++ {
		tr.ack(seq)
	}
	if tr.check(t); len(tr.own) != maxOwn {
		t.Errorf("%d own sequences are kept", len(tr.own))
	}
}
