package sinkbench

import (
	"fmt"
	"runtime"
	"slices"
	"syscall"
	"time"
)

// Report is what was measured. Figures are medians of the rounds, and ratios are made in each round, of what was measured in turns.
type Report struct {
	BodyBytes int      `json:"body_bytes"`
	Rounds    int      `json:"rounds"`
	Writers   int      `json:"writers"`
	Journal   Journal  `json:"journal"`
	Inserts   []Insert `json:"inserts"`
}

// Speed is how many rows a second went to ClickHouse, and what CPU each took in this process.
type Speed struct {
	RowsPerSecond float64 `json:"rows_per_second"`
	CPUMicros     float64 `json:"cpu_us_per_row"`
}

// Ratio is the median of the rounds' ratios, with the least and the greatest.
type Ratio struct {
	Median float64 `json:"median"`
	Least  float64 `json:"least"`
	Most   float64 `json:"most"`
}

// String is for tables.
func (r Ratio) String() string { return fmt.Sprintf("%.2f (%.2f-%.2f)", r.Median, r.Least, r.Most) }

// Insert is one size of batches.
type Insert struct {
	BatchRows int   `json:"batch_rows"`
	Rows      int   `json:"rows"`
	Journal   Speed `json:"journal"` // from the outbox of the store by the shipper
	Bare      Speed `json:"bare"`    // by a loop of nothing but the driver
	Ratio     Ratio `json:"ratio"`   // journal / bare, rows per second
}

// Accepted is how many messages a second the journal made durable, and how long each took on average.
type Accepted struct {
	PerSecond float64 `json:"per_second"`
	MeanMS    float64 `json:"mean_ms"`
	CPUMicros float64 `json:"cpu_us_per_message"`
}

// Journal is group commit beside single writes.
type Journal struct {
	Batched Accepted `json:"batched"`
	Single  Accepted `json:"single"`
	Ratio   Ratio    `json:"ratio"`         // batched / single, messages per second
	Latency Ratio    `json:"latency_ratio"` // batched / single, mean latency
}

// OverSingle is how many times more rows a second the journal's batches of so many rows bring to ClickHouse than a bare loop with one row an insert;
// 0 if one of them was not measured.
func (r *Report) OverSingle(batchRows int) float64 {
	var single, batched float64
	for _, i := range r.Inserts {
		if i.BatchRows == 1 {
			single = i.Bare.RowsPerSecond
		}
		if i.BatchRows == batchRows {
			batched = i.Journal.RowsPerSecond
		}
	}
	if single == 0 {
		return 0
	}
	return batched / single
}

func newInsert(batch, rows int, journal, bare []Speed) Insert {
	i := Insert{BatchRows: batch, Rows: rows, Journal: medianSpeed(journal), Bare: medianSpeed(bare)}
	i.Ratio = ratio(journal, bare, func(s Speed) float64 { return s.RowsPerSecond })
	return i
}

func newJournal(batched, single []Accepted) Journal {
	return Journal{
		Batched: medianAccepted(batched), Single: medianAccepted(single),
		Ratio:   ratio(batched, single, func(a Accepted) float64 { return a.PerSecond }),
		Latency: ratio(batched, single, func(a Accepted) float64 { return a.MeanMS }),
	}
}

func medianSpeed(all []Speed) Speed {
	return Speed{
		RowsPerSecond: median(all, func(s Speed) float64 { return s.RowsPerSecond }),
		CPUMicros:     median(all, func(s Speed) float64 { return s.CPUMicros }),
	}
}

func medianAccepted(all []Accepted) Accepted {
	return Accepted{
		PerSecond: median(all, func(a Accepted) float64 { return a.PerSecond }),
		MeanMS:    median(all, func(a Accepted) float64 { return a.MeanMS }),
		CPUMicros: median(all, func(a Accepted) float64 { return a.CPUMicros }),
	}
}

func median[T any](all []T, of func(T) float64) float64 {
	var values []float64
	for _, v := range all {
		values = append(values, of(v))
	}
	slices.Sort(values)
	return (values[(len(values)-1)/2] + values[len(values)/2]) / 2
}

// ratio divides what belongs to one round.
func ratio[T any](a, b []T, of func(T) float64) Ratio {
	var ratios []float64
	for i := range a {
		ratios = append(ratios, of(a[i])/of(b[i]))
	}
	return Ratio{median(ratios, func(v float64) float64 { return v }), slices.Min(ratios), slices.Max(ratios)}
}

// watch measures time and the CPU of this process.
type watch struct {
	start time.Time
	cpu   time.Duration
}

func startWatch() watch { return watch{time.Now(), cpu()} }

func (w watch) speed(rows int) Speed {
	return Speed{
		RowsPerSecond: float64(rows) / time.Since(w.start).Seconds(),
		CPUMicros:     float64((cpu() - w.cpu).Nanoseconds()) / 1e3 / float64(rows),
	}
}

// settle waits until this process is idle, for 10 s at most: what the store writes behind, and what garbage there is, belongs to what came before.
func settle() {
	const look = 50 * time.Millisecond
	runtime.GC()
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); {
		before := cpu()
		time.Sleep(look)
		if cpu()-before < look/20 {
			return
		}
	}
}

// cpu is what this process has used, in user and system mode.
func cpu() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic("BUG: getrusage of this process: " + err.Error())
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
