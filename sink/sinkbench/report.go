package sinkbench

import (
	"slices"
	"syscall"
	"time"
)

// Report is what was measured. Figures are medians of the rounds, and ratios medians of the ratios of each round.
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

// Insert is one size of batches.
type Insert struct {
	BatchRows int     `json:"batch_rows"`
	Rows      int     `json:"rows"`
	Journal   Speed   `json:"journal"` // from the outbox of the store by the shipper
	Bare      Speed   `json:"bare"`    // by a loop of nothing but the driver
	Ratio     float64 `json:"ratio"`   // journal / bare, rows per second
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
	Ratio   float64  `json:"ratio"`         // batched / single, messages per second
	Latency float64  `json:"latency_ratio"` // batched / single, mean latency
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
	i.Ratio = medianRatio(journal, bare, func(s Speed) float64 { return s.RowsPerSecond })
	return i
}

func newJournal(batched, single []Accepted) Journal {
	return Journal{
		Batched: medianAccepted(batched), Single: medianAccepted(single),
		Ratio:   medianRatio(batched, single, func(a Accepted) float64 { return a.PerSecond }),
		Latency: medianRatio(batched, single, func(a Accepted) float64 { return a.MeanMS }),
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

// medianRatio divides what belongs to one round.
func medianRatio[T any](a, b []T, of func(T) float64) float64 {
	var ratios []float64
	for i := range a {
		ratios = append(ratios, of(a[i])/of(b[i]))
	}
	return median(ratios, func(v float64) float64 { return v })
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

// cpu is what this process has used, in user and system mode.
func cpu() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic("BUG: getrusage of this process: " + err.Error())
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
