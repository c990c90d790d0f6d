package sink_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/switchyard-im/switchyard/dispatch/storetest"
	"github.com/switchyard-im/switchyard/frame"
	"github.com/switchyard-im/switchyard/sink"
)

// cpu is what the process has used, in user and system mode.
func cpu() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// counter is a completion that counts and measures nothing else.
type counter struct {
	wg     sync.WaitGroup
	failed atomic.Int64
}

func (c *counter) Committed(err error) {
	if err != nil {
		c.failed.Add(1)
	}
	c.wg.Done()
}

// load describes the transactions of a benchmark.
type load struct {
	convs   int  // conversations in a transaction
	perConv int  // messages of each
	split   bool // a record for each message, not for each conversation

	beside func(context.Context, *sink.Outbox) error // runs meanwhile, if there is one
}

// fill adds messages of about 200 bytes; seq is the last sequence of all conversations before.
func (l load) fill(tx *sink.Tx, offset int, seq uint64, frames []byte) {
	one := len(frames) / l.perConv
	for i := range l.convs {
		var conv frame.ID
		binary.BigEndian.PutUint64(conv[:], uint64(offset+i)*0x9e3779b97f4a7c15) // spread as an HMAC is
		if !l.split {
			tx.Messages(conv, seq+1, seq+uint64(l.perConv), frames)
			continue
		}
		for m := range l.perConv {
			tx.Messages(conv, seq+uint64(m)+1, seq+uint64(m)+1, frames[m*one:(m+1)*one])
		}
	}
}

// run commits b.N transactions as fast as flow control lets, and reports per message.
func (l load) run(b *testing.B, cfg sink.Config) {
	store := openFor(b, vfs.Default, cfg)
	frames := storetest.Messages(frame.ID{1}, 1, uint64(l.perConv), 150)
	ctx, cancel := context.WithCancel(context.Background())
	var beside sync.WaitGroup
	defer func() { cancel(); beside.Wait() }()
	if l.beside != nil {
		beside.Go(func() {
			if err := l.beside(ctx, store.Outbox()); err != nil {
				b.Error(err)
			}
		})
	}
	var c counter
	c.wg.Add(b.N)
	generation := store.Generation()
	b.ReportAllocs()
	b.ResetTimer()
	before := cpu()
	for n := range b.N {
		tx := store.Begin(generation)
		l.fill(tx, n%16*l.convs, uint64(n/16*l.perConv), frames)
		tx.Commit(&c)
	}
	c.wg.Wait()
	b.StopTimer()
	messages := float64(b.N * l.convs * l.perConv)
	b.ReportMetric(messages/b.Elapsed().Seconds(), "msg/s")
	b.ReportMetric(float64((cpu()-before).Nanoseconds())/1000/messages, "cpu-us/msg")
	if c.failed.Load() > 0 {
		b.Fatal("refused:", c.failed.Load())
	}
}

// BenchmarkTransaction is the store at saturation: transactions of 1, 64 and 512 messages, each in a conversation of its own.
func BenchmarkTransaction(b *testing.B) {
	for _, n := range []int{1, 64, 512} {
		b.Run(fmt.Sprintf("messages=%d", n), func(b *testing.B) { load{convs: n, perConv: 1}.run(b, quiet(b.TempDir())) })
	}
}

// BenchmarkOutbox is what the outbox costs: transactions of 16 messages, each in a conversation of its own, without it, with one that grows, as
// nobody ships, and with one from which somebody reads everything and says that it is shipped, the last also
// with a retention that deletes all but 64 MiB.
func BenchmarkOutbox(b *testing.B) {
	for _, mode := range []string{"off", "grows", "shipped", "retained"} {
		b.Run(mode, func(b *testing.B) {
			cfg := quiet(b.TempDir())
			cfg.Outbox = mode != "off"
			cfg.MaxInFlight = 8
			l := load{convs: 16, perConv: 1}
			if mode == "retained" {
				cfg.RetentionBytes = 64 << 20
			}
			if mode == "shipped" || mode == "retained" {
				l.beside = shipNothing
			}
			l.run(b, cfg)
		})
	}
}

// shipNothing reads about 10,000 rows at a time and says that they are shipped, until ctx ends.
func shipNothing(ctx context.Context, o *sink.Outbox) error {
	for ctx.Err() == nil {
		var r sink.Range
		rows := 0
		err := o.Read(0, func(e sink.Entry) bool {
			if rows == 0 {
				r.First = e.Number
			}
			r.Last = e.Number
			rows += e.Rows
			return rows < 10_000
		})
		if err == nil && rows > 0 {
			err = errors.Join(o.Freeze(ctx, r), o.Shipped(ctx, r))
		}
		if err != nil && ctx.Err() == nil {
			return err
		}
		time.Sleep(10 * time.Millisecond)
	}
	return nil
}

// BenchmarkRecords compares one record for a conversation and transaction with one for each message.
func BenchmarkRecords(b *testing.B) {
	for _, l := range []load{{convs: 1000, perConv: 1}, {convs: 1000, perConv: 16}, {convs: 1000, perConv: 16, split: true}} {
		b.Run(fmt.Sprintf("conversations=%d/messages=%d/split=%v", l.convs, l.perConv, l.split), func(b *testing.B) {
			cfg := quiet(b.TempDir())
			cfg.MaxInFlight = 8
			l.run(b, cfg)
		})
	}
}

// BenchmarkDepth compares pipeline depths, with 4 shards of which each has one transaction of 16 messages in flight.
func BenchmarkDepth(b *testing.B) {
	for _, depth := range []int{1, 2, 4} {
		b.Run(fmt.Sprintf("depth=%d", depth), func(b *testing.B) {
			cfg := quiet(b.TempDir())
			cfg.PipelineDepth = depth
			cfg.MaxInFlight = 4
			load{convs: 16, perConv: 1}.run(b, cfg)
		})
	}
}

// BenchmarkMemTable compares sizes of the memtable at saturation.
func BenchmarkMemTable(b *testing.B) {
	for _, size := range []int64{4, 16, 32, 64} {
		b.Run(fmt.Sprintf("MiB=%d", size), func(b *testing.B) {
			cfg := quiet(b.TempDir())
			cfg.MemTableSize = size << 20
			cfg.MaxInFlight = 32
			load{convs: 64, perConv: 1}.run(b, cfg)
		})
	}
}

// timed is a completion that keeps the time since its commit.
type timed struct {
	began time.Time
	took  *[]time.Duration // written on the completion goroutine only
	wg    *sync.WaitGroup
}

func (t *timed) Committed(error) {
	*t.took = append(*t.took, time.Since(t.began))
	t.wg.Done()
}

// BenchmarkPaced commits 10,000 messages a second, one or more in a transaction, at fixed times whatever the store does (but Begin
// is never blocked at this rate, and a sleep is late by up to a millisecond, so commits come in small bursts). It reports the time
// from commit to completion and how many syncs there were for it. An iteration is one second.
func BenchmarkPaced(b *testing.B) {
	for _, perTx := range []int{1, 10} {
		for _, interval := range []time.Duration{-1, 500 * time.Microsecond, time.Millisecond, 2 * time.Millisecond} {
			b.Run(fmt.Sprintf("messages=%d/interval=%v", perTx, interval), func(b *testing.B) {
				cfg := quiet(b.TempDir())
				cfg.SyncInterval = interval
				paced(b, cfg, perTx)
			})
		}
	}
}

func paced(b *testing.B, cfg sink.Config, perTx int) {
	const rate = 10_000
	reg := prometheus.NewRegistry()
	cfg.Registerer = reg
	store := openFor(b, vfs.Default, cfg)
	frames := storetest.Messages(frame.ID{1}, 1, 1, 150)
	total := b.N * rate / perTx
	took := make([]time.Duration, 0, total)
	var wg sync.WaitGroup
	wg.Add(total)
	completions := make([]timed, total)
	before, start := cpu(), time.Now()
	for n := range total {
		due := start.Add(time.Duration(n*perTx) * time.Second / rate)
		if wait := time.Until(due); wait > 0 {
			time.Sleep(wait)
		}
		tx := store.Begin(store.Generation())
		load{convs: perTx, perConv: 1}.fill(tx, n%100*perTx, uint64(n/100), frames)
		completions[n] = timed{began: time.Now(), took: &took, wg: &wg}
		tx.Commit(&completions[n])
	}
	wg.Wait()
	b.ReportMetric(float64(syncs(b, reg))/time.Since(start).Seconds(), "syncs/s")
	slices.Sort(took)
	b.ReportMetric(float64(took[total/2].Microseconds()), "p50-us")
	b.ReportMetric(float64(took[total*99/100].Microseconds()), "p99-us")
	b.ReportMetric(float64((cpu()-before).Nanoseconds())/1000/float64(total*perTx), "cpu-us/msg")
}

// syncs reads how often the journal was synced.
func syncs(tb testing.TB, reg *prometheus.Registry) uint64 {
	families, err := reg.Gather()
	if err != nil {
		tb.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == "switchyard_sink_fsync_seconds" {
			return f.GetMetric()[0].GetHistogram().GetSampleCount()
		}
	}
	tb.Fatal("there is no such metric")
	return 0
}
