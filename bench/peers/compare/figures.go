package compare

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Metric is a kind of figure.
type Metric string

// The metrics of a load, and of opening connections.
const (
	Rate Metric = "messages_per_second"
	P50  Metric = "p50_ms"
	P99  Metric = "p99_ms"
	CPU  Metric = "server_cpu_seconds_per_million_messages"
	Busy Metric = "generator_busy_percent"

	AcceptRate Metric = "connections_per_second"
	AcceptCPU  Metric = "server_cpu_us_per_connection"
	RSS        Metric = "rss_bytes_per_connection"
)

// metrics are all of them in the order of the columns, with their heads and decimals.
var metrics = []struct {
	metric   Metric
	head     string
	decimals int
}{
	{CPU, "server CPU, s per million messages", 2},
	{Rate, "messages/s", 0},
	{P50, "p50, ms", 2},
	{P99, "p99, ms", 2},
	{Busy, "generator, % of a core", 0},
	{AcceptCPU, "server CPU, us per connection", 1},
	{AcceptRate, "connections/s", 0},
	{RSS, "RSS per connection, B", 0},
}

// Figures are what one measurement gave.
type Figures map[Metric]float64

// String is a line in the order of the columns.
func (f Figures) String() string {
	var parts []string
	for _, m := range metrics {
		if v, ok := f[m.metric]; ok {
			parts = append(parts, fmt.Sprintf("%s %s", decimals(v, m.decimals), m.head))
		}
	}
	return strings.Join(parts, "; ")
}

// Spread is a figure over the rounds.
type Spread struct {
	Median float64 `json:"median"`
	Min    float64 `json:"min"`
	Max    float64 `json:"max"`
}

// spread summarises values; ok is false if there are none.
func spread(values []float64) (s Spread, ok bool) {
	if len(values) == 0 {
		return s, false
	}
	sorted := slices.Sorted(slices.Values(values))
	n := len(sorted)
	return Spread{Median: (sorted[(n-1)/2] + sorted[n/2]) / 2, Min: sorted[0], Max: sorted[n-1]}, true
}

// text is the cell of a table.
func (s Spread) text(digits int) string {
	return fmt.Sprintf("%s (%s-%s)", decimals(s.Median, digits), decimals(s.Min, digits), decimals(s.Max, digits))
}

// decimals writes a number, with commas in large ones.
func decimals(v float64, digits int) string {
	s := strconv.FormatFloat(v, 'f', digits, 64)
	whole, fraction, dotted := strings.Cut(s, ".")
	sign := ""
	if strings.HasPrefix(whole, "-") {
		sign, whole = "-", whole[1:]
	}
	for i := len(whole) - 3; i > 0; i -= 3 {
		whole = whole[:i] + "," + whole[i:]
	}
	if dotted {
		whole += "." + fraction
	}
	return sign + whole
}
