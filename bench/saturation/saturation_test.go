package saturation

import (
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/switchyard-im/switchyard/bench/client"
	"github.com/switchyard-im/switchyard/bench/report"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func ms(p50, p99 float64) report.Percentiles {
	return report.Percentiles{P50: p50, P90: p99, P99: p99, P999: p99, P9999: p99, Max: p99}
}

func TestJudge(t *testing.T) {
	for name, c := range map[string]struct {
		of            Report
		latency, late report.Percentiles
		want          []string // in the reasons, in this order; none: the figures are the server's
	}{
		"unloaded":                  {of: Report{Busy: 0.2, Lag: ms(0.06, 0.2)}, latency: ms(1, 5)},
		"beside a saturated server": {of: Report{Busy: 0.6, Lag: ms(0.3, 3), Machine: 1}, latency: ms(5, 12)},
		"late, but not much of it":  {of: Report{Busy: 0.9, Lag: ms(2, 20)}, latency: ms(20, 60), late: ms(3, 25)},
		"late by less than counts":  {of: Report{Busy: 0.1, Lag: ms(0.06, 0.4)}, latency: ms(0.08, 0.3), late: ms(0.05, 0.3)},
		"nothing was answered":      {of: Report{Busy: 0.1, Lag: ms(2, 30)}},
		"nor was it sent in time":   {of: Report{Busy: 0.8}, late: ms(100, 170), want: []string{"nothing that was due", "lower rate"}},
		"few timers":                {of: Report{Busy: 0.1, Lag: ms(0.1, 30), few: true}, latency: ms(1, 40)},
		"a loop without a pause":    {of: Report{Busy: 0.97, Lag: ms(0.5, 1)}, latency: ms(10, 20), want: []string{"97 % of the time", "--threads"}},
		"late in the median":        {of: Report{Busy: 0.5, Lag: ms(1.5, 2)}, latency: ms(5, 50), want: []string{"30 % of the median", "--threads"}},
		"late now and then":         {of: Report{Busy: 0.5, Lag: ms(0.1, 30)}, latency: ms(5, 50), want: []string{"60 % of the latency's p99", "--threads"}},
		"behind the schedule":       {of: Report{Busy: 0.5}, latency: ms(900, 1800), late: ms(850, 1700), want: []string{"94 % of the median", "lower rate"}},
		"a crowded machine": {
			of: Report{Busy: 0.99, Lag: ms(8, 20), Machine: 0.99, Stolen: 0.1}, latency: ms(9, 30),
			want: []string{"99 % of the time", "89 % of the median", "10 % of it taken by the hypervisor): run the generator on another machine"},
		},
	} {
		r := c.of
		r.Judge(c.latency, c.late)
		if r.Limited != (len(c.want) > 0) || len(r.Limits()) < len(c.want) {
			t.Errorf("%s: %+v", name, r)
			continue
		}
		for i, text := range c.want {
			if !strings.Contains(r.Why[i], text) {
				t.Errorf("%s: reason %d is %q, want %q", name, i, r.Why[i], text)
			}
		}
		if row := r.Beside(c.latency); strings.Contains(row, "generator") != r.Limited {
			t.Errorf("%s: %q", name, row)
		}
	}
}

// spin keeps a loop from its work for a while, again and again.
func spin(l *client.Loop, busy, pause time.Duration) (stop func()) {
	var timer client.Timer
	timer.Fire = func() {
		for end := client.Now() + int64(busy); client.Now() < end; {
		}
		l.Arm(&timer, client.Now()+int64(pause))
	}
	l.Arm(&timer, 0)
	return func() { l.Disarm(&timer) }
}

// TestMeterSeesALoopThatIsKeptFromItsWork compares a loop that is idle, one that is never, and one that is busy for 40 ms after pauses of 40.
func TestMeterSeesALoopThatIsKeptFromItsWork(t *testing.T) {
	fleet, err := client.NewFleet(2)
	if err != nil {
		t.Fatal(err)
	}
	defer fleet.Stop()
	window := func(busy, pause time.Duration) Report {
		stop := func() {}
		if busy > 0 {
			fleet.Each(func(i int, l *client.Loop) {
				if i == 0 { // one of two is enough
					stop = spin(l, busy, pause)
				}
			})
		}
		m := Start(fleet)
		time.Sleep(400 * time.Millisecond)
		r := m.Stop()
		fleet.Each(func(i int, _ *client.Loop) {
			if i == 0 {
				stop()
			}
		})
		return r
	}
	idle, half, full := window(0, 0), window(40*time.Millisecond, 40*time.Millisecond), window(20*time.Millisecond, 0)
	if idle.Busy > 0.5 || idle.Busy >= half.Busy {
		t.Errorf("an idle loop: %+v", idle)
	}
	if half.Busy < 0.3 || half.Lag.Max < 10 {
		t.Errorf("a loop that works half of the time: %+v", half)
	}
	if full.Busy < busyAtMost || full.CPU <= 0 {
		t.Errorf("a loop that always works: %+v", full)
	}
	if full.Judge(ms(1000, 1000), ms(0, 0)); !full.Limited {
		t.Errorf("not found: %+v", full)
	}
	if idle.Machine < 0 || idle.Machine > 1.01 || idle.Stolen < 0 {
		t.Errorf("the machine is not read: %+v", idle)
	}
}
