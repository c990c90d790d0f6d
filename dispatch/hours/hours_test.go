package hours

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

func mustParse(t testing.TB, text string) *Hours {
	t.Helper()
	h, err := Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// plain answers in the obvious way: it lets package time tell what the wall shows, and compares texts.
type plain struct {
	zone  *time.Location
	rules map[string][]string // by weekday ("Mon") or date ("2026-12-24"): "HH:MM-HH:MM"
}

func (p *plain) open(at time.Time) bool {
	local := at.In(p.zone)
	now := local.Format("15:04")
	// The day before in the calendar: at noon of UTC no zone matters.
	y, m, d := local.Date()
	before := time.Date(y, m, d, 12, 0, 0, 0, time.UTC).AddDate(0, 0, -1)
	for _, s := range p.of(local) {
		from, to, _ := strings.Cut(s, "-")
		if now >= from && (now < to || to <= from) {
			return true
		}
	}
	for _, s := range p.of(before) {
		from, to, _ := strings.Cut(s, "-")
		if to <= from && now < to {
			return true
		}
	}
	return false
}

func (p *plain) of(t time.Time) []string {
	if s, ok := p.rules[t.Format(time.DateOnly)]; ok {
		return s
	}
	return p.rules[t.Format("Mon")]
}

// randomHours returns a schedule as text, and its obvious form. Dates lie in the days after from.
func randomHours(r *rand.Rand, zone *time.Location, from time.Time) (string, *plain) {
	p := &plain{zone: zone, rules: map[string][]string{}}
	rules := []string{"zone " + zone.String()}
	for i, name := range []string{"Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"} {
		if r.IntN(4) > 0 {
			p.rules[name] = randomSpans(r)
			rules = append(rules, week[i].name+" "+rule(p.rules[name]))
		}
	}
	for range r.IntN(4) {
		date := from.AddDate(0, 0, r.IntN(6)).Format(time.DateOnly)
		if _, twice := p.rules[date]; !twice {
			p.rules[date] = randomSpans(r)
			rules = append(rules, date+" "+rule(p.rules[date]))
		}
	}
	if len(rules) == 1 {
		rules = append(rules, "Mo-Su closed")
	}
	r.Shuffle(len(rules), func(i, j int) { rules[i], rules[j] = rules[j], rules[i] })
	return strings.Join(rules, ";"), p
}

func rule(spans []string) string {
	if len(spans) == 0 {
		return closed
	}
	return strings.Join(spans, ", ")
}

// randomSpans returns none to three spans that do not overlap; the last may end on the next day. Many lie where clocks are changed.
func randomSpans(r *rand.Rand) []string {
	n := 2 * r.IntN(4)
	var at []int
	for len(at) < n {
		m := r.IntN(24 * 60)
		if r.IntN(2) == 0 {
			m = 15 * r.IntN(4*4)
		}
		if !slices.Contains(at, m) {
			at = append(at, m)
		}
	}
	slices.Sort(at)
	if n > 0 && r.IntN(3) == 0 {
		at = append(at[1:], at[0]) // the last one goes past midnight
	}
	spans := []string{}
	for i := 0; i < n; i += 2 {
		spans = append(spans, fmt.Sprintf("%02d:%02d-%02d:%02d", at[i]/60, at[i]%60, at[i+1]/60, at[i+1]%60))
	}
	return spans
}

// TestEveryMinute compares Open and Next with the obvious answer for every minute of the week around each change of the clocks: of an hour
// forward and back, of half an hour, at midnight, of a whole day, one that is not on a full hour of UTC, and none.
func TestEveryMinute(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	for _, c := range []struct{ zone, around string }{
		{"Europe/Berlin", "2026-03-29"}, {"Europe/Berlin", "2026-10-25"},
		{"America/New_York", "2026-03-08"}, {"America/New_York", "2026-11-01"},
		{"Australia/Lord_Howe", "2026-04-05"}, {"Australia/Lord_Howe", "2026-10-04"},
		{"America/St_Johns", "2006-04-02"}, {"America/St_Johns", "2006-10-29"}, // at 00:01
		{"America/Sao_Paulo", "2018-11-04"}, {"America/Sao_Paulo", "2018-02-18"}, // at midnight
		{"Africa/Cairo", "2026-04-24"}, {"Africa/Cairo", "2026-10-30"},
		{"Asia/Kathmandu", "2026-06-15"}, {"Pacific/Apia", "2011-12-30"}, // without a 30th of December
		{"Pacific/Chatham", "2026-09-27"}, {"Europe/Berlin", "2028-12-31"}, // where package time has the end of a period wrong
		{"UTC", "1969-12-31"},
	} {
		t.Run(c.zone+" "+c.around, func(t *testing.T) {
			zone, err := time.LoadLocation(c.zone)
			if err != nil {
				t.Fatal(err)
			}
			around, _ := time.Parse(time.DateOnly, c.around)
			from := around.AddDate(0, 0, -3)
			r := rand.New(rand.NewPCG(seed, 0))
			for range 3 {
				text, p := randomHours(r, zone, from)
				checkMinutes(t, mustParse(t, text), p, from, 6*24*60)
			}
		})
	}
}

func checkMinutes(t *testing.T, h *Hours, p *plain, from time.Time, n int) {
	t.Helper()
	// What comes after the last minute is not compared: there is nothing to compare it with.
	open := make([]bool, n)
	for i := range open {
		open[i] = p.open(from.Add(time.Duration(i) * time.Minute))
	}
	var opens, closes int // of the next opening, n: not within
	opens, closes = n, n
	for i := n - 1; i >= 0; i-- {
		at := from.Add(time.Duration(i) * time.Minute)
		switch {
		case open[i] && (i+1 == n || !open[i+1]):
			opens, closes = i, i+1
		case open[i]:
			opens = i
		}
		if h.Open(at) != open[i] || h.Open(at.Add(59*time.Second)) != open[i] {
			t.Fatalf("%s: open at %s: %v", h, at.In(p.zone), !open[i])
		}
		if i%29 != 0 && i != opens && i+1 != opens && i+1 != closes {
			continue // Next goes over days, so it is asked around the changes, and now and then
		}
		o, c := h.Next(at)
		if opens < n && !o.Equal(from.Add(time.Duration(opens)*time.Minute)) {
			t.Fatalf("%s: at %s opens next at %s, want %s", h, at.In(p.zone), o, from.Add(time.Duration(opens)*time.Minute).In(p.zone))
		}
		if closes < n && !c.Equal(from.Add(time.Duration(closes)*time.Minute)) {
			t.Fatalf("%s: at %s closes next at %s, want %s", h, at.In(p.zone), c, from.Add(time.Duration(closes)*time.Minute).In(p.zone))
		}
		if opens == n && !o.IsZero() && o.Before(from.Add(time.Duration(n)*time.Minute)) {
			t.Fatalf("%s: at %s opens next at %s, want later", h, at.In(p.zone), o)
		}
	}
}

// TestNextBounded: the most exceptions that are allowed, each as far as useful from the next, cost a bounded number of steps.
func TestNextBounded(t *testing.T) {
	var b strings.Builder
	b.WriteString("Mo-Su closed; zone Europe/Berlin; 2026-01-01 closed")
	d := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for range maxDates - 2 {
		d = d.AddDate(0, 0, 17)
		b.WriteString(";" + d.Format(time.DateOnly) + " closed")
	}
	d = d.AddDate(1000, 0, 0)
	h := mustParse(t, b.String()+";"+d.Format(time.DateOnly)+" 12:00-13:00")
	opens, _ := h.Next(time.Date(2025, 12, 1, 0, 0, 0, 0, time.UTC))
	if got := opens.Format("2006-01-02 15:04"); got != d.Format(time.DateOnly)+" 12:00" {
		t.Errorf("opens %s, want at noon of %s", got, d.Format(time.DateOnly))
	}
}
