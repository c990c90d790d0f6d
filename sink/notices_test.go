package sink_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
	"golang.org/x/sys/unix"

	"github.com/switchyard-im/switchyard/dispatch/storetest"
	"github.com/switchyard-im/switchyard/frame"
	"github.com/switchyard-im/switchyard/sink"
)

// readLane returns the notices of a lane after a number, with bodies of their own.
func readLane(t *testing.T, s *sink.Store, lane string, after uint64) (notices []sink.Notice) {
	t.Helper()
	err := s.Notices().Read(lane, after, func(n sink.Notice) bool {
		n.Body = slices.Clone(n.Body)
		notices = append(notices, n)
		return true
	})
	if err != nil {
		t.Error(err)
	}
	return notices
}

func putNotices(t *testing.T, s *sink.Store, lane string, conv frame.ID, bodies ...string) {
	t.Helper()
	var notices []sink.Notice
	for _, body := range bodies {
		notices = append(notices, sink.Notice{Conv: conv, Body: []byte(body)})
	}
	if err := s.Notices().Put(t.Context(), lane, notices...); err != nil {
		t.Fatal(err)
	}
}

func settle(t *testing.T, s *sink.Store, lane string, settlements ...sink.Settlement) {
	t.Helper()
	if err := s.Notices().Settle(t.Context(), lane, settlements); err != nil {
		t.Fatal(err)
	}
}

func bodies(notices []sink.Notice) (all []string) {
	for _, n := range notices {
		all = append(all, string(n.Body))
	}
	return all
}

func TestNotices(t *testing.T) {
	fs, cfg := vfs.NewMem(), quiet("store")
	s := openFor(t, fs, cfg)
	putNotices(t, s, "hook", frame.ID{1}, "a", "bb")
	putNotices(t, s, "hook2", frame.ID{1}, "other")
	putNotices(t, s, "hook", frame.ID{2}, "ccc")

	select {
	case <-s.Notices().Signal("hook"):
	default:
		t.Error("nobody was told of the notices")
	}
	found := readLane(t, s, "hook", 0)
	if got := bodies(found); !slices.Equal(got, []string{"a", "bb", "ccc"}) {
		t.Fatalf("the lane holds %q", got)
	}
	if found[2].Conv != (frame.ID{2}) || found[2].TimeMS == 0 || found[2].Attempts != 0 {
		t.Errorf("the last notice reads %+v", found[2])
	}
	if w := s.Notices().Waiting("hook"); w != (sink.Waiting{Notices: 3, Bytes: 6}) {
		t.Errorf("%+v waits", w)
	}

	done := sink.Settlement{Number: found[0].Number, Done: true}
	settle(t, s, "hook", done, sink.Settlement{Number: found[1].Number, Attempts: 7, NextMS: 99})
	settle(t, s, "hook", done, sink.Settlement{Number: found[0].Number, Attempts: 1}) // gone stays gone
	check := func(s *sink.Store) {
		t.Helper()
		left := readLane(t, s, "hook", 0)
		if got := bodies(left); !slices.Equal(got, []string{"bb", "ccc"}) {
			t.Fatalf("the lane holds %q", got)
		}
		if left[0].Attempts != 7 || left[0].NextMS != 99 || left[0].Number != found[1].Number {
			t.Errorf("tried again as %+v", left[0])
		}
		if w := s.Notices().Waiting("hook"); w != (sink.Waiting{Notices: 2, Bytes: 5}) {
			t.Errorf("%+v waits", w)
		}
		if _, ok, err := s.Notices().Body(nil, "hook", found[0].Number); ok || err != nil {
			t.Errorf("what is done is there: %v, %v", ok, err)
		}
		if body, ok, err := s.Notices().Body(nil, "hook", found[2].Number); string(body) != "ccc" || !ok || err != nil {
			t.Errorf("%q, %v, %v", body, ok, err)
		}
	}
	check(s)
	closeStore(t, s)

	s = openFor(t, fs, cfg)
	check(s)
	putNotices(t, s, "hook", frame.ID{2}, "d")
	if after := readLane(t, s, "hook", found[2].Number); len(after) != 1 || string(after[0].Body) != "d" {
		t.Errorf("after a restart the next notice is not behind the others: %q", bodies(after))
	}
	lanes := s.Notices().Lanes()
	if slices.Sort(lanes); !slices.Equal(lanes, []string{"hook", "hook2"}) {
		t.Errorf("lanes %q", lanes)
	}
}

// notified is a completion.
type notified struct{ done chan error }

func (n notified) Committed(err error) { n.done <- err }

// TestNoticesAreReadInTheOrderOfCommits: whoever reads on from the last number that he saw misses nothing, however many shards commit at once, and
// has those of a conversation in order.
func TestNoticesAreReadInTheOrderOfCommits(t *testing.T) {
	const shards, each = 8, 200
	s := openFor(t, vfs.NewMem(), quiet("store"))
	var wait sync.WaitGroup
	for shard := range shards {
		wait.Go(func() {
			done := notified{make(chan error, each)}
			for i := range each {
				tx := s.Begin(s.Generation())
				conv := frame.ID{byte(shard + 1)}
				tx.Messages(conv, uint64(i+1), uint64(i+1), storetest.Messages(conv, uint64(i+1), uint64(i+1), 50))
				tx.Notify("hook", conv, fmt.Append(nil, i))
				tx.Commit(done)
			}
			for range each {
				if err := <-done.done; err != nil {
					t.Error(err)
				}
			}
		})
	}
	next, last, count := [shards + 1]int{}, uint64(0), 0
	for count < shards*each {
		select {
		case <-s.Notices().Signal("hook"):
		case <-t.Context().Done():
			t.Fatalf("%d of %d notices", count, shards*each)
		}
		for _, n := range readLane(t, s, "hook", last) {
			if last = n.Number; string(n.Body) != fmt.Sprint(next[n.Conv[0]]) {
				t.Fatalf("conversation %d: %s comes where %d should", n.Conv[0], n.Body, next[n.Conv[0]])
			}
			next[n.Conv[0]]++
			count++
		}
	}
	wait.Wait()
}

// TestNoticesSurviveWithTheirMessages cuts the power again and again: there is a notice for each message that is there, and for no other, and what
// was settled before the cut stays so.
func TestNoticesSurviveWithTheirMessages(t *testing.T) {
	rng := rand.New(rand.NewPCG(newSeed(t), 0))
	fs := vfs.NewCrashableMem()
	s := openFor(t, fs, quiet("store"))
	conv, acked, settled := frame.ID{1}, uint64(0), uint64(0)
	for seq := uint64(1); seq <= 60; seq++ {
		done := notified{make(chan error, 1)}
		tx := s.Begin(s.Generation())
		tx.Messages(conv, seq, seq, storetest.Messages(conv, seq, seq, 100))
		tx.Conversation(conv, state(seq), true)
		tx.Notify("hook", conv, fmt.Append(nil, seq))
		tx.Commit(done)
		if rng.IntN(2) == 0 {
			checkNotices(t, fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 50, RNG: rng}), acked, settled)
		}
		if err := <-done.done; err != nil {
			t.Fatal(err)
		}
		acked = seq
		if rng.IntN(3) == 0 {
			first := readLane(t, s, "hook", 0)[0]
			settle(t, s, "hook", sink.Settlement{Number: first.Number, Done: true})
			settled++
		}
	}
	checkNotices(t, fs.CrashClone(vfs.CrashCloneCfg{RNG: rng}), acked, settled)
}

func checkNotices(t *testing.T, fs vfs.FS, acked, settled uint64) {
	t.Helper()
	s, err := sink.OpenOn(fs, quiet("store"))
	if err != nil {
		t.Fatal(err)
	}
	defer closeStore(t, s)
	_, frames, _, err := s.LoadConversation(frame.ID{1}, 1000)
	if err != nil {
		t.Fatal(err)
	}
	stored := uint64(len(storetest.Sequences(t, frames)))
	notices := readLane(t, s, "hook", 0)
	if stored < acked || uint64(len(notices)) != stored-settled {
		t.Fatalf("%d messages and %d notices are there; %d were accepted and %d settled", stored, len(notices), acked, settled)
	}
	for i, n := range notices {
		if string(n.Body) != fmt.Sprint(settled+uint64(i)+1) {
			t.Errorf("notice %d is %s", i, n.Body)
		}
	}
}

// TestNoticesAfterAFailureOfTheStore: a store that failed and was opened again goes on where it was, and gives no number twice.
func TestNoticesAfterAFailureOfTheStore(t *testing.T) {
	disk := newFaulty(vfs.NewMem())
	s := openFor(t, disk, quiet("store"))
	putNotices(t, s, "hook", frame.ID{1}, "a")
	first := readLane(t, s, "hook", 0)[0].Number
	settle(t, s, "hook", sink.Settlement{Number: first, Done: true})
	disk.faults.set(func(op errorfs.Op) error {
		if changes(op) {
			return unix.EIO
		}
		return nil
	})
	if err := s.Notices().Put(context.Background(), "hook", sink.Notice{Body: []byte("refused")}); err == nil {
		t.Error("the failed store took a notice")
	}
	disk.faults.clear()
	waitFor(t, "the end of the outage", s.Available)
	putNotices(t, s, "hook", frame.ID{1}, "b")
	left := readLane(t, s, "hook", 0)
	if got := bodies(left); got[len(got)-1] != "b" || left[0].Number <= first {
		t.Errorf("the lane holds %q, the first under %d after %d was given", got, left[0].Number, first)
	}
	if w := s.Notices().Waiting("hook"); w.Notices != uint64(len(left)) {
		t.Errorf("%+v waits, %d are there", w, len(left))
	}
}
