package record

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/switchyard-im/switchyard/bench/meter"
	"github.com/switchyard-im/switchyard/bench/report"
)

func TestCSV(t *testing.T) {
	path := filepath.Join(t.TempDir(), "run.csv")
	points := []meter.Point{
		{Seconds: 1, Phase: "connecting", Gauges: map[string]float64{"connections": 4}},
		{Seconds: 2.5, Phase: "measuring, disturbed", Counts: map[string]int64{"sent": 7}, Gauges: map[string]float64{"connections": 5},
			Latencies: map[string]meter.Summary{
				"accept": {Count: 3, Percentiles: report.Percentiles{P50: 1, P90: 2, P99: 3, P999: 4, P9999: 5, Max: 6.25}},
				"late":   {},
			}},
	}
	if err := WriteCSV(path, points, []meter.Event{{Seconds: 1.5, Name: "kill -9"}, {Seconds: 2, Name: "cut"}, {Seconds: 9, Name: "too late"}}); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	want := `seconds,phase,load,events,sent,connections,accept_count,accept_p50_ms,accept_p90_ms,accept_p99_ms,accept_p999_ms,accept_p9999_ms,accept_max_ms,` +
		`late_count,late_p50_ms,late_p90_ms,late_p99_ms,late_p999_ms,late_p9999_ms,late_max_ms
1,connecting,,,,4,,,,,,,,,,,,,,
2.5,"measuring, disturbed",,kill -9; cut,7,5,3,1,2,3,4,5,6.25,0,,,,,,
`
	if string(got) != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	if err := WriteCSV(filepath.Join(path, "x"), points, nil); err == nil {
		t.Error("wrote below a file")
	}
}
