package percentile

import (
	"math"
	"slices"

	dto "github.com/prometheus/client_model/go"
)

// distribution is a native histogram without its encoding: how many observations fell into each bucket. Bucket i of schema s
// holds the values in (b^(i-1), b^i] with b = 2^(2^-s). Latencies are never negative, so negative buckets are not read.
type distribution struct {
	schema  int32
	empty   bool             // nothing was added yet, so the schema is open
	zero    float64          // observations at or below the zero threshold
	least   float64          // the zero threshold
	buckets map[int32]uint64 // by index
}

func newDistribution() *distribution {
	return &distribution{empty: true, buckets: map[int32]uint64{}}
}

// read decodes the buckets: spans of consecutive ones, each with its difference to the one before.
func read(h *dto.Histogram) *distribution {
	d := newDistribution()
	if h.Schema == nil {
		return d // a classic histogram only
	}
	d.schema, d.empty = h.GetSchema(), false
	d.zero, d.least = float64(h.GetZeroCount()), h.GetZeroThreshold()
	index, count, next := int32(0), int64(0), 0
	for _, span := range h.GetPositiveSpan() {
		index += span.GetOffset()
		for range span.GetLength() {
			if next == len(h.GetPositiveDelta()) {
				return d
			}
			count += h.GetPositiveDelta()[next]
			d.buckets[index] += uint64(max(count, 0))
			index++
			next++
		}
	}
	return d
}

// coarsen lowers the schema: each step joins two neighbours into one bucket.
func (d *distribution) coarsen(schema int32) {
	if d.schema <= schema {
		return
	}
	steps := uint(d.schema - schema)
	joined := make(map[int32]uint64, len(d.buckets))
	for i, n := range d.buckets {
		joined[(i-1)>>steps+1] += n
	}
	d.schema, d.buckets = schema, joined
}

// add merges another distribution into d, at the lower resolution of the two. It may coarsen other.
func (d *distribution) add(other *distribution) {
	if other.empty {
		return
	}
	if d.empty {
		d.schema, d.empty = other.schema, false
	}
	d.coarsen(other.schema)
	other.coarsen(d.schema)
	for i, n := range other.buckets {
		d.buckets[i] += n
	}
	d.zero += other.zero
	d.least = max(d.least, other.least)
}

// since returns what d has and an earlier distribution of the same histogram has not. A histogram that was reset in between
// (it has fewer observations in some bucket) counts from zero.
func (d *distribution) since(earlier *distribution) *distribution {
	diff := d.clone()
	if earlier == nil || earlier.empty || d.empty {
		return diff
	}
	old := earlier.clone()
	diff.coarsen(old.schema)
	old.coarsen(diff.schema)
	if diff.zero < old.zero {
		return d.clone()
	}
	diff.zero -= old.zero
	for i, n := range old.buckets {
		if diff.buckets[i] < n {
			return d.clone()
		}
		diff.buckets[i] -= n
	}
	return diff
}

func (d *distribution) clone() *distribution {
	c := *d
	c.buckets = make(map[int32]uint64, len(d.buckets))
	for i, n := range d.buckets {
		c.buckets[i] = n
	}
	return &c
}

func (d *distribution) count() float64 {
	total := d.zero
	for _, n := range d.buckets {
		total += float64(n)
	}
	return total
}

// quantile finds the bucket of the observation of rank q*count and interpolates in it, exponentially as its bounds are. The
// error is at most the bucket's width: 9 % for a growth factor of 1.1.
func (d *distribution) quantile(q float64) float64 {
	total := d.count()
	if total == 0 {
		return math.NaN()
	}
	rank := q * total
	if rank <= d.zero {
		return d.least
	}
	below, last := d.zero, int32(0)
	for _, i := range d.indexes() {
		n := float64(d.buckets[i])
		if n == 0 {
			continue
		}
		if last = i; below+n >= rank {
			return d.bound(float64(i) - 1 + (rank-below)/n)
		}
		below += n
	}
	return d.bound(float64(last))
}

// bound is the upper bound of bucket i; a fraction lies within the bucket above.
func (d *distribution) bound(i float64) float64 {
	return math.Exp2(i * math.Exp2(-float64(d.schema)))
}

func (d *distribution) indexes() []int32 {
	all := make([]int32, 0, len(d.buckets))
	for i := range d.buckets {
		all = append(all, i)
	}
	slices.Sort(all)
	return all
}
