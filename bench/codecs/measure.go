package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math"
	"runtime"
	"time"

	"github.com/switchyard-im/switchyard/bench/codec"
	"github.com/switchyard-im/switchyard/bench/observe"
	"github.com/switchyard-im/switchyard/bench/report"
)

// operation is what is measured of a codec.
type operation struct {
	name string
	run  func(*subject) error // once
	cost func(*codec.Figures) *codec.Cost
}

var operations = []operation{
	{"encode", (*subject).encode, func(f *codec.Figures) *codec.Cost { return &f.Encode }},
	{"decode", (*subject).read, func(f *codec.Figures) *codec.Cost { return &f.Decode }},
	{"keep", (*subject).keep, func(f *codec.Figures) *codec.Cost { return &f.Keep }},
}

// subject is a codec with the messages that it is measured with.
type subject struct {
	coder
	name     string
	messages int
	encoded  []byte
	digest   digest
	kept     []chat // reused
}

func newSubject(k *kind, messages []chat) (*subject, error) {
	c := k.make(messages)
	b, err := c.Encode()
	if err != nil {
		return nil, fmt.Errorf("codecs: %s: encode: %w", k.name, err)
	}
	return &subject{coder: c, name: k.name, messages: len(messages), encoded: bytes.Clone(b), digest: digestOf(messages)}, nil
}

func (s *subject) encode() error {
	b, err := s.Encode()
	if err == nil && len(b) != len(s.encoded) {
		err = fmt.Errorf("%w: %s wrote %d bytes, and %d before", errAltered, s.name, len(b), len(s.encoded))
	}
	return err
}

func (s *subject) read() error {
	d, err := s.Read(s.encoded)
	if err == nil && d != s.digest {
		err = fmt.Errorf("%w: %s read other fields", errAltered, s.name)
	}
	return err
}

func (s *subject) keep() (err error) {
	s.kept, err = s.Keep(s.encoded, s.kept[:0])
	if err == nil && len(s.kept) != s.messages {
		err = fmt.Errorf("%w: %s kept %d messages", errAltered, s.name, len(s.kept))
	}
	return err
}

// sample is one measurement, per message.
type sample struct{ ns, allocs, allocated float64 }

// measure repeats an operation n times.
func (s *subject) measure(op *operation, n int) (sample, error) {
	runtime.GC()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	start := observe.Self()
	for range n {
		if err := op.run(s); err != nil {
			return sample{}, err
		}
	}
	seconds := observe.Self() - start
	runtime.ReadMemStats(&after)
	per := 1 / float64(n) / float64(s.messages)
	return sample{ns: seconds * 1e9 * per, allocs: float64(after.Mallocs-before.Mallocs) * per, allocated: float64(after.TotalAlloc-before.TotalAlloc) * per}, nil
}

// repetitions finds how often an operation runs in so much CPU time.
func (s *subject) repetitions(op *operation, cpu time.Duration) (int, error) {
	const enough = 4 * time.Millisecond // many times what the clock may err
	for n := 1; ; n *= 8 {
		got, err := s.measure(op, n)
		if err != nil {
			return 0, err
		}
		if took := got.ns * float64(n) * float64(s.messages); took > float64(min(enough, cpu).Nanoseconds()) {
			return max(1, int(float64(n)*float64(cpu.Nanoseconds())/took)), nil
		}
	}
}

// bench is all subjects under one operation, on messages of one shape.
type bench struct {
	subjects []*subject
	op       *operation
	figures  map[string]codec.Figures
	times    []int      // repetitions, by subject
	samples  [][]sample // by subject, then round
}

func newBench(subjects []*subject, op *operation, figures map[string]codec.Figures, cpu time.Duration) (*bench, error) {
	b := &bench{subjects: subjects, op: op, figures: figures, times: make([]int, len(subjects)), samples: make([][]sample, len(subjects))}
	for i, s := range subjects {
		n, err := s.repetitions(op, cpu)
		if err != nil {
			return nil, err
		}
		b.times[i] = n
	}
	return b, nil
}

// round measures every subject once, one right after the other; each round begins with another one.
func (b *bench) round(ctx context.Context, r int) error {
	for i := range b.subjects {
		i = (i + r) % len(b.subjects)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		got, err := b.subjects[i].measure(b.op, b.times[i])
		if err != nil {
			return err
		}
		b.samples[i] = append(b.samples[i], got)
	}
	return nil
}

// summarise writes the figures of all subjects. The first subject is what the others are compared with.
func (b *bench) summarise() {
	for i, s := range b.subjects {
		over := func(of func(round int) float64) report.Spread {
			var values []float64
			for r := range b.samples[i] {
				values = append(values, of(r))
			}
			return report.NewSpread(values)
		}
		f := b.figures[s.name]
		f.Bytes = float64(len(s.encoded)) / float64(s.messages)
		*b.op.cost(&f) = codec.Cost{
			NS:        over(func(r int) float64 { return b.samples[i][r].ns }),
			OfInPlace: over(func(r int) float64 { return b.samples[i][r].ns / b.samples[0][r].ns }),
			Allocs:    tenths(over(func(r int) float64 { return b.samples[i][r].allocs }).Median),
			Allocated: tenths(over(func(r int) float64 { return b.samples[i][r].allocated }).Median),
		}
		b.figures[s.name] = f
	}
}

// tenths drops what the runtime allocates beside.
func tenths(v float64) float64 { return math.Round(v*10) / 10 }

// measureAll runs the rounds and puts the figures into rep.
func measureAll(ctx context.Context, cfg *config, rep *codec.Report, log io.Writer) error {
	var benches []*bench
	for _, shape := range []struct {
		messages []chat
		figures  map[string]codec.Figures
	}{{cfg.one(), rep.One}, {cfg.several(), rep.Batch}} {
		var subjects []*subject
		for i := range kinds {
			s, err := newSubject(&kinds[i], shape.messages)
			if err != nil {
				return err
			}
			subjects = append(subjects, s)
		}
		for i := range operations {
			b, err := newBench(subjects, &operations[i], shape.figures, cfg.Time)
			if err != nil {
				return err
			}
			benches = append(benches, b)
		}
	}
	for r := range cfg.Rounds {
		for _, b := range benches {
			if err := b.round(ctx, r); err != nil {
				return err
			}
		}
		fmt.Fprintf(log, "round %d of %d\n", r+1, cfg.Rounds)
	}
	for _, b := range benches {
		b.summarise()
	}
	return nil
}
