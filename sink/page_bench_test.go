package sink_test

import (
	"log/slog"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/switchyard-im/switchyard/frame"
	"github.com/switchyard-im/switchyard/sink"
)

// BenchmarkPage reads pages of 50 from random places of a conversation of a million messages, and tells the 99th percentile.
func BenchmarkPage(b *testing.B) {
	const messages, each = 1_000_000, 20
	s, err := sink.Open(sink.Config{Dir: b.TempDir(), Durability: sink.DurabilityUnsafeNoFsync, SyncInterval: -1, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := s.Close(b.Context()); err != nil {
			b.Log(err)
		}
	})
	var stored counter
	conv := frame.ID{1}
	for first := uint64(1); first < messages; first += each {
		var frames []byte
		for seq := first; seq < first+each; seq++ {
			m := frame.Message{Conv: conv, Seq: seq, Prev: seq - 1, TimeMS: seq, Sender: []byte("ann"), ID: frame.ID{2}, Body: frame.AppendText(nil, make([]byte, 128))}
			frames = m.Append(frames)
		}
		stored.wg.Add(1)
		tx := s.Begin(s.Generation())
		tx.Messages(conv, first, first+each-1, frames)
		tx.Commit(&stored)
	}
	stored.wg.Wait()
	if n := stored.failed.Load(); n > 0 {
		b.Fatalf("%d transactions failed", n)
	}
	rnd := rand.New(rand.NewPCG(1, 1))
	var times []time.Duration
	b.ResetTimer()
	for range b.N {
		begin := time.Now()
		_, count, _, err := s.ReadBefore(nil, conv, 51+rnd.Uint64N(messages-51), 50, 1<<20)
		if err != nil || count != 50 {
			b.Fatal(count, err)
		}
		times = append(times, time.Since(begin))
	}
	slices.Sort(times)
	b.ReportMetric(float64(times[len(times)*99/100].Microseconds()), "p99-us")
}
