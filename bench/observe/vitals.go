package observe

import "context"

// Vitals are what a Go server must not gain over time, of one moment.
type Vitals struct {
	Started    float64 // of the process, seconds since 1970; another value is another process
	RSSBytes   int64
	HeapBytes  int64 // live on the heap after the last collection, with the stacks and globals that the collector counts
	Goroutines int64
	FDs        int64 // open descriptors
}

// ReadVitals reads them from the server with this admin URL.
func ReadVitals(ctx context.Context, admin string) (Vitals, error) {
	v, err := newMetrics(admin).fetch(ctx, "process_start_time_seconds", "process_resident_memory_bytes", "go_memstats_next_gc_bytes", "go_gc_gogc_percent",
		"go_goroutines", "process_open_fds")
	if err != nil {
		return Vitals{}, err
	}
	return Vitals{
		Started: v[0], RSSBytes: int64(v[1]), Goroutines: int64(v[4]), FDs: int64(v[5]),
		HeapBytes: int64(v[2] / (1 + v[3]/100)), // the next collection is due when the heap has grown by GOGC percent
	}, nil
}
