package record

import (
	"maps"
	"slices"
	"strings"
)

// key are the figures that say most about a run, in the order in which they are told.
var key = []string{
	"lost", "duplicated", "reordered", "altered", "misdelivered", "other_violations", "errors", // none, or the run is worth nothing
	"rate", "share", "assign_p50", "assign_p99", "page_p50", "page_p99", "resume_p50", "resume_p99", "back_p50", "back_p99", "accept_p50", "accept_p99", "deliver_p50", "deliver_p99", "deliver_p999", "rtt_p50", "rtt_p99", "rtt_p999",
	"all_p99", "deliver_p99_ratio",
	"conns", "rss_bytes_per_conn", "server_rss_bytes_per_conn", "open_cpu_us", "idle_cpu_us", "open_rate",
	"server_cpu_us_per_message", "server_cpu_us_per_delivery", "server_rss_bytes", "delivery_rate", "reconnects",
}

// IsKey tells whether a figure is one of those that say most.
func IsKey(figure string) bool { return slices.Contains(key, figure) }

// troubles are key figures that are nil in a good run.
const troubles = 7

// IsTrouble tells whether a figure counts what should not happen.
func IsTrouble(figure string) bool { return slices.Contains(key[:troubles], figure) }

// Order lists figures: those that say most first, then the rest by name.
func Order(figures map[string]float64) []string {
	rank := func(name string) int {
		if i := slices.Index(key, name); i >= 0 {
			return i
		}
		return len(key)
	}
	return slices.SortedFunc(maps.Keys(figures), func(a, b string) int {
		if d := rank(a) - rank(b); d != 0 {
			return d
		}
		return strings.Compare(a, b)
	})
}
