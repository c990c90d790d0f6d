// Package observe reads what a server process uses, from outside: from /proc if it runs on this machine, or from the process_* metrics
// on its admin address. A scenario reads before and after the measured window and takes the difference.
package observe

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Usage is what a process had used at one moment.
type Usage struct {
	CPUSeconds float64 // user and system, since it started
	RSSBytes   int64
	GCSeconds  float64 // the Go collector's part of CPUSeconds, as of its last collection; 0 without an admin address that tells
}

// Add adds what a process of this machine uses.
func (u *Usage) Add(ctx context.Context, pid int) error {
	more, err := process(pid).Read(ctx)
	u.CPUSeconds += more.CPUSeconds
	u.RSSBytes += more.RSSBytes
	return err
}

// Source reads the usage of one process. Safe for concurrent use.
type Source interface {
	Read(ctx context.Context) (Usage, error)
}

// ErrRestarted is returned by Between when the second reading is of another process.
var ErrRestarted = errors.New("observe: the server restarted between the readings")

// New returns the source for a process id (if not 0) or else an admin URL; nil if neither is given. With both, the collector's part comes
// from the admin address, since /proc does not know it.
func New(pid int, admin string) Source {
	switch {
	case pid != 0 && admin != "":
		return &both{process(pid), newMetrics(admin)}
	case pid != 0:
		return process(pid)
	case admin != "":
		return newMetrics(admin)
	}
	return nil
}

// Between returns what was used from one reading to a later one: the difference of CPU, and the later RSS.
func Between(before, after Usage) (Usage, error) {
	if after.CPUSeconds < before.CPUSeconds || after.GCSeconds < before.GCSeconds {
		return Usage{}, ErrRestarted
	}
	return Usage{
		CPUSeconds: after.CPUSeconds - before.CPUSeconds, RSSBytes: after.RSSBytes, GCSeconds: after.GCSeconds - before.GCSeconds,
	}, nil
}

// Self is the CPU that this process has used, in seconds.
func Self() float64 {
	var r unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &r); err != nil {
		return 0
	}
	return float64(r.Utime.Nano()+r.Stime.Nano()) / 1e9
}

// process is a process id of this machine.
type process int

// ticksPerSecond is USER_HZ, which Linux fixes at 100 for everything that user space sees.
const ticksPerSecond = 100

// Read reads /proc/PID/stat and statm.
func (p process) Read(context.Context) (Usage, error) {
	dir := "/proc/" + strconv.Itoa(int(p))
	stat, err := os.ReadFile(dir + "/stat")
	if err != nil {
		return Usage{}, fmt.Errorf("observe: no process %d: %w", int(p), err)
	}
	statm, err := os.ReadFile(dir + "/statm")
	if err != nil {
		return Usage{}, fmt.Errorf("observe: %w", err)
	}
	return parseProc(string(stat), string(statm))
}

// parseProc takes utime and stime, fields 14 and 15 of stat (the name in parentheses may contain blanks), and the second of statm.
func parseProc(stat, statm string) (Usage, error) {
	fields := strings.Fields(stat[strings.LastIndexByte(stat, ')')+1:])
	memory := strings.Fields(statm)
	if len(fields) < 13 || len(memory) < 2 {
		return Usage{}, fmt.Errorf("observe: cannot read stat %q, statm %q", stat, statm)
	}
	user, err1 := strconv.ParseInt(fields[11], 10, 64)
	system, err2 := strconv.ParseInt(fields[12], 10, 64)
	pages, err3 := strconv.ParseInt(memory[1], 10, 64)
	if err := errors.Join(err1, err2, err3); err != nil {
		return Usage{}, fmt.Errorf("observe: %w", err)
	}
	return Usage{CPUSeconds: float64(user+system) / ticksPerSecond, RSSBytes: pages * int64(os.Getpagesize())}, nil
}

// metrics is a Prometheus endpoint.
type metrics struct {
	url    string
	client http.Client
}

func newMetrics(admin string) *metrics {
	return &metrics{url: strings.TrimSuffix(admin, "/") + "/metrics", client: http.Client{Timeout: 5 * time.Second}}
}

// Read fetches the metrics and takes two of them.
func (m *metrics) Read(ctx context.Context) (Usage, error) {
	v, err := m.fetch(ctx, "process_cpu_seconds_total", "process_resident_memory_bytes")
	if err != nil {
		return Usage{}, err
	}
	gc, err := m.gcSeconds(ctx)
	return Usage{CPUSeconds: v[0], RSSBytes: int64(v[1]), GCSeconds: gc}, err
}

// gcSeconds is 0 if the server does not tell; it may be no Go program.
func (m *metrics) gcSeconds(ctx context.Context) (float64, error) {
	v, err := m.fetch(ctx, "go_cpu_classes_gc_total_cpu_seconds_total")
	if err != nil {
		if errors.Is(err, errMissing) {
			return 0, nil
		}
		return 0, err
	}
	return v[0], nil
}

// both is a process of this machine with an admin address.
type both struct {
	process process
	metrics *metrics
}

// Read takes the collector's CPU first, so that it is a part of the other.
func (b *both) Read(ctx context.Context) (Usage, error) {
	gc, err := b.metrics.gcSeconds(ctx)
	if err != nil {
		return Usage{}, err
	}
	u, err := b.process.Read(ctx)
	u.GCSeconds = gc
	return u, err
}

// errMissing is for a page without a metric that is wanted.
var errMissing = errors.New("the metrics lack some")

// Heap is what a Go server holds on its heap.
type Heap struct {
	Bytes   int64 // of objects, without what lies free between them
	Objects int64
}

// ReadHeap reads the heap of the server with this admin URL.
func ReadHeap(ctx context.Context, admin string) (Heap, error) {
	v, err := newMetrics(admin).fetch(ctx, "go_memstats_heap_alloc_bytes", "go_memstats_heap_objects")
	if err != nil {
		return Heap{}, err
	}
	return Heap{Bytes: int64(v[0]), Objects: int64(v[1])}, nil
}

// fetch returns the samples of these names, in their order.
func (m *metrics) fetch(ctx context.Context, names ...string) ([]float64, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, m.url, nil)
	if err != nil {
		return nil, fmt.Errorf("observe: %w", err)
	}
	resp, err := m.client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("observe: %w (is --admin the server's admin address?)", err)
	}
	defer resp.Body.Close()
	defer m.client.CloseIdleConnections()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("observe: %s answered %s", m.url, resp.Status)
	}
	return parseMetrics(io.LimitReader(resp.Body, 16<<20), names...)
}

// parseMetrics finds samples in the text format. They carry no labels, so a line is a name and a number.
func parseMetrics(r io.Reader, names ...string) ([]float64, error) {
	values, found := make([]float64, len(names)), 0
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		name, value, _ := strings.Cut(lines.Text(), " ")
		i := slices.Index(names, name)
		if i < 0 {
			continue
		}
		n, err := strconv.ParseFloat(value, 64)
		if err != nil {
			return nil, fmt.Errorf("observe: %s: %w", name, err)
		}
		values[i] = n
		found++
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("observe: %w", err)
	}
	if found != len(names) {
		return nil, fmt.Errorf("observe: %w of %s", errMissing, strings.Join(names, ", "))
	}
	return values, nil
}
