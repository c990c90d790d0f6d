package report

import (
	"fmt"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// The range of a Latency, in nanoseconds. What lies above is counted as the top.
const (
	lowest  = 1_000
	highest = 600_000_000_000
	digits  = 3
)

// Latency collects durations, exact to one part in a thousand, in constant memory (some 170 KB). One goroutine owns it.
type Latency struct{ h *hdrhistogram.Histogram }

// NewLatency returns an empty one.
func NewLatency() *Latency { return &Latency{hdrhistogram.New(lowest, highest, digits)} }

// Record adds a duration in nanoseconds. It does not allocate.
func (l *Latency) Record(ns int64) { _ = l.h.RecordValue(min(max(ns, 0), highest)) }

// RecordN adds a duration in nanoseconds n times.
func (l *Latency) RecordN(ns, n int64) { _ = l.h.RecordValues(min(max(ns, 0), highest), n) }

// Merge adds what another one collected.
func (l *Latency) Merge(other *Latency) { l.h.Merge(other.h) }

// Reset forgets everything.
func (l *Latency) Reset() { l.h.Reset() }

// Count is the number of durations.
func (l *Latency) Count() int64 { return l.h.TotalCount() }

// At is the duration, in milliseconds, that so many per cent (0 to 100) of all do not exceed; 0 if there are none.
func (l *Latency) At(percent float64) float64 { return float64(l.h.ValueAtQuantile(percent)) / 1e6 }

// Mean of the durations, in milliseconds; 0 if there are none.
func (l *Latency) Mean() float64 {
	if l.Count() == 0 {
		return 0
	}
	return l.h.Mean() / 1e6
}

// MarshalText writes all of it: a histogram in the HDR format V2, compressed, in base64, which other tools read. The values are nanoseconds.
func (l *Latency) MarshalText() ([]byte, error) {
	text, err := l.h.Encode(hdrhistogram.V2CompressedEncodingCookieBase)
	if err != nil {
		return nil, fmt.Errorf("report: %w", err)
	}
	return text, nil
}

// UnmarshalText reads what MarshalText wrote. A histogram of another range or precision is taken over into this one.
func (l *Latency) UnmarshalText(text []byte) error {
	h, err := hdrhistogram.Decode(text)
	if err != nil {
		return fmt.Errorf("report: this is no histogram in the HDR format V2: %w", err)
	}
	l.h = hdrhistogram.New(lowest, highest, digits)
	l.h.Merge(h)
	return nil
}

// Percentiles of a latency, in milliseconds; all zero if nothing was recorded.
type Percentiles struct {
	P50   float64 `json:"p50"`
	P90   float64 `json:"p90"`
	P99   float64 `json:"p99"`
	P999  float64 `json:"p999"`
	P9999 float64 `json:"p9999"`
	Max   float64 `json:"max"`
}

// Percentiles summarises what was collected.
func (l *Latency) Percentiles() Percentiles {
	if l.Count() == 0 {
		return Percentiles{}
	}
	return Percentiles{P50: l.At(50), P90: l.At(90), P99: l.At(99), P999: l.At(99.9), P9999: l.At(99.99), Max: float64(l.h.Max()) / 1e6}
}

// String is the row of a table.
func (p Percentiles) String() string {
	return fmt.Sprintf("p50 %.3f  p90 %.3f  p99 %.3f  p99.9 %.3f  p99.99 %.3f  max %.3f ms", p.P50, p.P90, p.P99, p.P999, p.P9999, p.Max)
}

// Worst has the greater of both in each place: what is known of two intervals together without their histograms.
func (p Percentiles) Worst(o Percentiles) Percentiles {
	return Percentiles{
		P50: max(p.P50, o.P50), P90: max(p.P90, o.P90), P99: max(p.P99, o.P99),
		P999: max(p.P999, o.P999), P9999: max(p.P9999, o.P9999), Max: max(p.Max, o.Max),
	}
}
