package report

import (
	"fmt"
	"reflect"
	"testing"
)

type inner struct {
	N       int64
	Seconds float64 `merge:"max"`
}

type whole struct {
	inner  // its fields are not reached: it is not exported
	Inner  inner
	Sent   int64
	Small  int
	Rate   float64
	Size   int `merge:"keep"`
	Bad    bool
	Why    string
	Cases  []string
	More   *inner
	None   *inner
	P      Percentiles
	Counts []int
	own    int
}

func TestMerge(t *testing.T) {
	part := func(n int64) *whole {
		return &whole{
			Inner: inner{n, float64(n)}, Sent: n, Small: int(n), Rate: float64(n) / 2, Size: 7, Cases: []string{fmt.Sprint(n)}, P: Percentiles{P50: float64(n)}, own: int(n),
		}
	}
	a, b := part(3), part(5)
	b.Bad, b.Why, b.More = true, "because", &inner{N: 2}
	Merge(a, b)
	want := &whole{
		Inner: inner{8, 5}, Sent: 8, Small: 8, Rate: 4, Size: 7, Bad: true, Why: "because", Cases: []string{"3", "5"}, More: &inner{N: 2}, P: Percentiles{P50: 5}, own: 3,
	}
	if !reflect.DeepEqual(a, want) {
		t.Errorf("%+v, want %+v", a, want)
	}
	if a.More == b.More {
		t.Error("a part of the other one is shared")
	}
	Merge(a, part(1))
	if a.Inner.Seconds != 5 || a.More.N != 2 || a.Why != "because" {
		t.Errorf("%+v", a)
	}
	for range 30 {
		Merge(a, b)
	}
	if len(a.Cases) != maxMerged || len(b.Cases) != 1 {
		t.Errorf("%d and %d cases", len(a.Cases), len(b.Cases))
	}
}

func TestMergeCurves(t *testing.T) {
	a, b := NewLatency(), NewLatency()
	for i := int64(1); i <= 500; i++ {
		a.Record(i * 1e6)
		b.Record((i + 500) * 1e6)
	}
	sum := MergeCurves(MergeCurves(nil, map[string]*Latency{"x": a}), map[string]*Latency{"x": b, "y": b})
	if sum["x"].Count() != 1000 || !near(sum["x"].Percentiles().P99, 990) || sum["y"].Count() != 500 || a.Count() != 500 || b.Count() != 500 {
		t.Errorf("%v", sum)
	}
}
