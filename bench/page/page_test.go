package page

import (
	"encoding/json"
	"html"
	"math"
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/switchyard-im/switchyard/bench/meter"
	"github.com/switchyard-im/switchyard/bench/observe"
	"github.com/switchyard-im/switchyard/bench/record"
	"github.com/switchyard-im/switchyard/bench/report"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// hostile is text that would break out of a page that does not escape it, wherever it stands.
const hostile = `"><script>alert('x')</script><img src=x onerror=alert(1)>{{.}}`

// made is a run of so many seconds with a stall and a restart, and hostile text wherever text comes from outside.
func made(seconds int, loads ...string) *record.Run {
	random := rand.New(rand.NewPCG(1, 2))
	all := report.NewLatency()
	r := &record.Run{
		Bench: record.Bench{
			Version: "v1" + hostile, Scenario: "chat", Arguments: []string{"chat", "--url", "ws://127.0.0.1:1/" + hostile, ""}, Started: time.Unix(1e9, 0), Seconds: float64(seconds),
			Machine: observe.Facts{CPU: "CPU" + hostile, Cores: 2, Memory: 8 << 30, Kernel: "Linux", Go: "go1"}, Failed: []string{"deliver_p99>5ms" + hostile},
			Limits: []string{"busy" + hostile}, GeneratorLimited: true,
		},
		Figures: map[string]float64{"rate": 5000, "deliver_p50": 1.25, "deliver_p99": 7.5, "lost": 2, "server_rss_bytes": 64e6, "server_cpu_us_per_message": 24.9},
		Rows:    []record.Row{{Name: "rate" + hostile, Value: "5000" + hostile}, {Name: "violation", Value: "lost: pair 0" + hostile}},
		Events:  []meter.Event{{Seconds: 3.5, Name: "kill -9" + hostile}},
		Curves:  map[string]*report.Latency{"deliver": all, "accept": all},
	}
	var summaries []meter.Summary // they repeat, as summing up takes its time
	for range 16 {
		l := report.NewLatency()
		for range 100 {
			l.Record(int64(1e6 * math.Exp(random.NormFloat64())))
		}
		all.Merge(l)
		summaries = append(summaries, meter.Summary{Count: l.Count(), Percentiles: l.Percentiles()})
	}
	for n := range seconds {
		for _, load := range loads {
			phase := "measuring"
			if n < 2 {
				phase = "warming up"
			}
			p := meter.Point{
				Seconds: float64(n + 1), Phase: phase, Load: load, Counts: map[string]int64{"sent": int64(n * 5000), "delivered": int64(n * 5000), "violations": 0},
				Gauges:    map[string]float64{"connections": 1000, "server_rss_bytes": 60e6 + 1e5*float64(n), "generator_rss_bytes": 4e7, "server_cpu_cores": 0.5, "generator_cpu_cores": 0.3},
				Latencies: map[string]meter.Summary{"deliver": summaries[n%len(summaries)]},
			}
			if n == 4 { // the server is away
				delete(p.Gauges, "server_rss_bytes")
				delete(p.Gauges, "server_cpu_cores")
			}
			r.Samples = append(r.Samples, p)
		}
	}
	return r
}

func written(t *testing.T, r *record.Run) string {
	t.Helper()
	var b strings.Builder
	if err := Run(&b, r); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestEverythingIsEscaped(t *testing.T) {
	r := made(10, "")
	var compared strings.Builder
	if err := Compare(&compared, []record.Named{{Name: "a" + hostile, Run: r}, {Name: "b", Run: r}}); err != nil {
		t.Fatal(err)
	}
	for name, page := range map[string]string{"run": written(t, r), "compare": compared.String()} {
		for _, bad := range []string{"<script>alert", "<img", "ZgotmplZ"} {
			if strings.Contains(page, bad) {
				t.Errorf("%s: %q is in the page", name, bad)
			}
		}
		if strings.Count(page, "<script>") != 1 || !strings.Contains(page, "default-src 'none'") {
			t.Errorf("%s: scripts or policy", name)
		}
	}
}

func TestThePageTellsTheRun(t *testing.T) {
	page := html.UnescapeString(written(t, made(10, "")))
	for _, want := range []string{
		"FAILED", "Why it failed", "deliver_p99>5ms", "The generator, not the server", "What the oracle found", "lost: pair 0", "Latency by percentile", "Rate", "Latency: deliver",
		"Memory", "Processors", "Memory per connection", "measuring", "kill -9", `'ws://127.0.0.1:1/">`, "7.5", "64.0", "server_cpu_us_per_message",
	} {
		if !strings.Contains(page, want) && !strings.Contains(strings.ToUpper(page), want) {
			t.Errorf("no %q", want)
		}
	}
	if strings.Contains(page, "Troubles") || regexp.MustCompile(`="[^"]*(NaN|Inf)`).MatchString(page) {
		t.Error("a chart of nothing, or a figure that is none")
	}
}

var charts = regexp.MustCompile(`data-chart="([^"]*)"`)

// drawn reads what the script of a page is given.
func drawn(t *testing.T, page string) (list []hover) {
	t.Helper()
	for _, m := range charts.FindAllStringSubmatch(page, -1) {
		var h hover
		if err := json.Unmarshal([]byte(html.UnescapeString(m[1])), &h); err != nil {
			t.Fatal(err)
		}
		list = append(list, h)
	}
	return list
}

func TestWhatCannotBeReadIsAGap(t *testing.T) {
	page := written(t, made(10, ""))
	gaps := regexp.MustCompile(`d="M[^"]*M[^"]*"`).FindAllString(page, -1)
	if len(gaps) != 3 { // the server's memory, CPU, and memory per connection
		t.Errorf("%d lines with a gap", len(gaps))
	}
	for _, h := range drawn(t, page) {
		for _, l := range h.Lines {
			if len(l.X) != len(l.Y) || len(l.X) == 0 {
				t.Errorf("%s: %d and %d", l.Name, len(l.X), len(l.Y))
			}
		}
	}
}

func TestALongRunFitsAndEachLoadHasItsCharts(t *testing.T) {
	short, long := written(t, made(30, "a", "b")), written(t, made(2*maxPoints+100, "a", "b"))
	if len(long) > 1<<20 {
		t.Errorf("%d bytes", len(long))
	}
	if a, b := len(drawn(t, short)), len(drawn(t, long)); a != b || !strings.Contains(short, "Over time: a") || !strings.Contains(short, "Over time: b") {
		t.Errorf("%d and %d charts", a, b)
	}
	for _, h := range drawn(t, long) {
		for _, l := range h.Lines {
			if most := 2 * maxPoints; len(l.X) > most {
				t.Errorf("%s: %d points", l.Name, len(l.X))
			}
		}
	}
}

func TestARunOfNothing(t *testing.T) {
	r := made(0, "")
	r.Curves, r.Rows, r.Figures = nil, nil, nil
	if page := written(t, r); len(drawn(t, page)) != 0 {
		t.Error("it has charts")
	}
}

func TestAxes(t *testing.T) {
	a := linear(4321, 200, 0)
	if a.Max != 6000 || a.at(0) != 200 || a.at(a.Max) != 0 {
		t.Errorf("%+v", a)
	}
	l := logarithmic(0.3, 450, 200, 0)
	if l.Min != 0.2 || l.Max != 500 || math.Abs(l.at(10)-100) > 1e-6 {
		t.Errorf("%+v: 10 is at %v", l, l.at(10))
	}
	for _, c := range []struct {
		axis axis
		unit string
		want string
	}{
		{linear(4000, 1, 0), "/s", "0 1k/s 2k/s 3k/s 4k/s 5k/s"},
		{linear(80e6, 1, 0), "B", "0 MB 20 MB 40 MB 60 MB 80 MB 100 MB"},
		{linear(0.5, 1, 0), "", "0 0.2 0.4 0.6"},
		{linear(0, 1, 0), "", "0 0.5 1 1.5"},
		{logarithmic(1, 2000, 1, 0), "ms", "1 ms 10 ms 100 ms 1 s"},
		{logarithmic(5, 40, 1, 0), "ms", "5 ms 10 ms 20 ms 50 ms"},
	} {
		var got []string
		for _, k := range c.axis.ticks(c.unit) {
			got = append(got, k.Label)
		}
		if text := strings.Join(got, " "); text != c.want {
			t.Errorf("%+v: %s, want %s", c.axis, text, c.want)
		}
	}
	for seconds, want := range map[float64]string{20: "0 s 5 s 10 s 15 s 20 s", 600: "0:00 2:00 4:00 6:00 8:00 10:00", 7200: "0:00 h 0:15 h 0:30 h 0:45 h 1:00 h 1:15 h 1:30 h 1:45 h 2:00 h"} {
		var got []string
		for _, k := range timeTicks(axis{Max: seconds, to: 1}) {
			got = append(got, k.Label)
		}
		if text := strings.Join(got, " "); text != want {
			t.Errorf("%v s: %s", seconds, text)
		}
	}
}

func TestWhatStandsStillHasNoRate(t *testing.T) {
	r := made(10, "")
	for i := range r.Samples {
		r.Samples[i].Counts = map[string]int64{"opened": 5000, "reconnects": 3}
	}
	r.Figures = map[string]float64{"conns": 5000, "rss_bytes_per_conn": 1520, "errors": 0, "hold_seconds": 5}
	page := written(t, r)
	if strings.Contains(page, "<h3>Rate") || strings.Contains(page, "<h3>Troubles") || !strings.Contains(page, "<h3>Connections") {
		t.Error("charts of what stands still, or none of what does not")
	}
	tiles := regexp.MustCompile(`<div class="tiles">.*`).FindString(page)
	if !strings.Contains(tiles, "<span>server RSS per connection</span><b>1520<small>B</small></b>") || strings.Contains(tiles, "errors") || strings.Contains(tiles, "hold") {
		t.Errorf("the key figures are not those that say most: %s", tiles)
	}
}

func TestAMixedRunIsShownLoadByLoad(t *testing.T) {
	r := made(10, "desk", "Big day")
	l := r.Curves["accept"]
	r.Curves = map[string]*report.Latency{"desk assign": l, "Big day deliver": l, "Big day accept": l}
	r.Figures = map[string]float64{"loads_desk_rate": 5, "loads_desk_assign_p99": 7, "loads_big_day_deliver_p99": 9, "server_rss_bytes": 5e6}
	raw := written(t, r)
	page := html.UnescapeString(raw)
	for _, want := range []string{"Latency by percentile: desk", "Latency by percentile: Big day", "<span>desk: rate</span>", "<span>desk: assign p99</span>", "<span>Big day: deliver p99</span>", "<span>server RSS</span>"} {
		if !strings.Contains(page, want) {
			t.Errorf("no %q", want)
		}
	}
	if h := drawn(t, raw); len(h) < 2 || len(h[0].Lines) != 1 || h[0].Lines[0].Name != "assign" || len(h[1].Lines) != 2 {
		t.Errorf("%d charts", len(h))
	}
}

// TestAxesHaveFewTicks, whatever a damaged file says that a run was.
func TestAxesHaveFewTicks(t *testing.T) {
	for _, most := range []float64{1, 1e9, 1e300, math.MaxFloat64, math.Inf(1)} {
		for name, list := range map[string][]tick{
			"time": timeTicks(axis{Max: most}), "linear": linear(most, 0, 1).ticks("B"), "logarithmic": logarithmic(1, most, 0, 1).ticks("ms"),
		} {
			if len(list) < 2 || len(list) > 400 { // the logarithmic one has one for each power of ten
				t.Errorf("%d ticks on the axis of %s up to %g", len(list), name, most)
			}
		}
	}
}
