package report

import (
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func near(got, want float64) bool { return got > want*0.998 && got < want*1.002 }

func TestPercentiles(t *testing.T) {
	a, b := NewLatency(), NewLatency()
	for i := int64(1); i <= 1000; i++ {
		l := a
		if i%2 == 0 {
			l = b
		}
		l.Record(i * 1_000_000)
	}
	a.Merge(b)
	p := a.Percentiles()
	if a.Count() != 1000 || !near(p.P50, 500) || !near(p.P90, 900) || !near(p.P99, 990) || !near(p.P999, 999) || !near(p.P9999, 1000) || !near(p.Max, 1000) {
		t.Errorf("%+v of %d", p, a.Count())
	}
	if !near(a.Mean(), 500.5) || !near(a.At(25), 250) || NewLatency().Mean() != 0 {
		t.Errorf("mean %v, a quarter %v", a.Mean(), a.At(25))
	}
	if empty := NewLatency().Percentiles(); empty != (Percentiles{}) {
		t.Errorf("%+v of nothing", empty)
	}
}

func TestWhatIsOutOfRangeIsKept(t *testing.T) {
	l := NewLatency()
	l.Record(-5)
	l.Record(1 << 62)
	if p := l.Percentiles(); l.Count() != 2 || !near(p.Max, highest/1e6) {
		t.Errorf("%+v of %d", p, l.Count())
	}
}

func TestRecordingAllocatesNothing(t *testing.T) {
	l := NewLatency()
	if n := testing.AllocsPerRun(1000, func() { l.Record(12345678) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestTable(t *testing.T) {
	var none *Server
	var b strings.Builder
	if err := Table(&b, []Row{{"a", 1}, {"long name", none}}); err != nil {
		t.Fatal(err)
	}
	if want := "a          1\nlong name  not measured (give --server-pid or --admin)\n"; b.String() != want {
		t.Errorf("%q", b.String())
	}
	if PerMessage(2, 4) != 500_000 || PerMessage(1, 0) != 0 {
		t.Error("wrong per message")
	}
}

func TestALatencyAsText(t *testing.T) {
	l := NewLatency()
	for i := int64(1); i <= 10_000; i++ {
		l.Record(i * 1_000_000)
	}
	text, err := l.MarshalText()
	if err != nil {
		t.Fatal(err)
	}
	var got Latency
	if err := got.UnmarshalText(text); err != nil || got.Count() != l.Count() || got.Percentiles() != l.Percentiles() {
		t.Errorf("%v: %+v, want %+v", err, got.Percentiles(), l.Percentiles())
	}
	for _, bad := range []string{"", "x", "HISTFAAA", string(text[:len(text)/2])} {
		if err := got.UnmarshalText([]byte(bad)); err == nil {
			t.Errorf("took %q", bad)
		}
	}
	if l.Reset(); l.Count() != 0 {
		t.Errorf("%d after a reset", l.Count())
	}
}

func TestTheWorstOfTwo(t *testing.T) {
	a, b := Percentiles{1, 2, 3, 4, 5, 6}, Percentiles{6, 5, 4, 3, 2, 1}
	if got := a.Worst(b); got != (Percentiles{6, 5, 4, 4, 5, 6}) {
		t.Errorf("%+v", got)
	}
}
