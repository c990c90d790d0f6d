package report

import (
	"encoding/json"
	"os"
	"path/filepath"
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
	if a.Count() != 1000 || !near(p.P50, 500) || !near(p.P99, 990) || !near(p.P999, 999) || !near(p.Max, 1000) {
		t.Errorf("%+v of %d", p, a.Count())
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

func TestTableAndJSON(t *testing.T) {
	var none *Server
	var b strings.Builder
	if err := Table(&b, []Row{{"a", 1}, {"long name", none}}); err != nil {
		t.Fatal(err)
	}
	if want := "a          1\nlong name  not measured (give --server-pid or --admin)\n"; b.String() != want {
		t.Errorf("%q", b.String())
	}
	path := filepath.Join(t.TempDir(), "r.json")
	if err := WriteJSON(path, Server{RSSBytes: 5, CPUSeconds: 2, CPUUSPerMessage: PerMessage(2, 4)}); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]float64
	if err := json.Unmarshal(text, &got); err != nil || got["rss_bytes"] != 5 || got["cpu_us_per_message"] != 500_000 {
		t.Errorf("%s %v", text, err)
	}
	if err := WriteJSON(filepath.Join(path, "x"), 1); err == nil {
		t.Error("wrote below a file")
	}
	if PerMessage(1, 0) != 0 {
		t.Error("a division by no messages")
	}
}
