package million

import (
	"context"
	"fmt"
	"sort"
	"strings"

	"github.com/switchyard-im/switchyard/bench/observe"
	"github.com/switchyard-im/switchyard/bench/report"
)

// Report is the outcome of a run. Bytes are of one connection: kernel bytes of both its ends.
type Report struct {
	Asked     int     `json:"asked"`
	Conns     int     `json:"conns"`
	Short     string  `json:"short,omitempty"` // why fewer than asked for
	Processes int     `json:"processes"`
	Servers   int     `json:"servers"`
	Seconds   float64 `json:"open_seconds"` // without the next
	Waited    float64 `json:"wait_seconds"` // for memory
	Rate      float64 `json:"open_rate"`    // connections per second of open_seconds

	OpenCPUUS      float64 `json:"open_cpu_us"`           // of all servers, for each connection; the kernel's work at accept, read and write included
	OpenClientUS   float64 `json:"open_generator_cpu_us"` // of the generator's processes, with the handshakes of TCP on loopback
	ServerBytes    float64 `json:"server_rss_bytes_per_conn"`
	GeneratorBytes float64 `json:"generator_rss_bytes_per_conn"`
	SlabBytes      float64 `json:"kernel_slab_bytes_per_conn"`
	BufferBytes    float64 `json:"kernel_buffer_bytes_per_conn"`
	TotalBytes     float64 `json:"machine_bytes_per_conn"` // by which the available memory fell
	ServerRSS      int64   `json:"server_rss_bytes"`       // of all servers, their own memory included
	Available      int64   `json:"available_bytes"`        // what the machine had left

	Caches []Cache `json:"kernel_caches"` // the largest parts of the slab; empty unless root runs it

	Heartbeats  int64   `json:"heartbeats"` // pings of the servers that were answered, from the first connection to the end
	HoldSeconds float64 `json:"hold_seconds"`
	HoldBeats   int64   `json:"hold_heartbeats"` // those of the hold
	HoldCPUUS   float64 `json:"hold_cpu_us"`     // of all servers, for each heartbeat of the hold
	IdleCPUUS   float64 `json:"idle_cpu_us"`     // of all servers, for each connection and second
}

// Cache is one kind of the kernel's objects.
type Cache struct {
	Name  string  `json:"name"`
	Bytes float64 `json:"bytes_per_conn"`
}

// Rows is the report as a table.
func (r *Report) Rows() []report.Row {
	open := fmt.Sprintf("%d idle, from %d processes to %d servers on one port", r.Conns, r.Processes, r.Servers)
	if r.Short != "" {
		open += "; " + r.Short
	}
	opened := fmt.Sprintf("%.1f s, %.0f/s, %.1f us of server CPU each and %.1f us of the generator's", r.Seconds, r.Rate, r.OpenCPUUS, r.OpenClientUS)
	if r.Waited > 0 {
		opened += fmt.Sprintf(", and %.1f s of waiting for memory", r.Waited)
	}
	var caches []string
	for _, c := range r.Caches {
		caches = append(caches, fmt.Sprintf("%s %.0f", c.Name, c.Bytes))
	}
	return []report.Row{
		{Name: "connections", Value: open},
		{Name: "opened in", Value: opened},
		{Name: "servers", Value: fmt.Sprintf("%.0f B of RSS per connection, %.2f GB in all", r.ServerBytes, float64(r.ServerRSS)/1e9)},
		{Name: "heartbeats", Value: fmt.Sprintf("%d answered since the start, %d of them over the last %.1f s", r.Heartbeats, r.HoldBeats, r.HoldSeconds)},
		{Name: "", Value: fmt.Sprintf("%.1f us of server CPU each, %.3f us per connection and second", r.HoldCPUUS, r.IdleCPUUS)},
		{Name: "generator", Value: fmt.Sprintf("%.0f B of RSS per connection", r.GeneratorBytes)},
		{Name: "kernel", Value: fmt.Sprintf("%.0f B of slab and %.0f B of buffers per connection, for both its ends", r.SlabBytes, r.BufferBytes)},
		{Name: "", Value: strings.Join(caches, ", ")},
		{Name: "machine", Value: fmt.Sprintf("%.0f B per connection, %.1f GB left", r.TotalBytes, float64(r.Available)/1e9)},
	}
}

// reading is the machine at one moment.
type reading struct {
	servers, workers observe.Usage
	kernel           observe.Kernel
	pings            int64 // answered so far
}

func (r *run) read(ctx context.Context) (m reading, err error) {
	if m.kernel, err = observe.ReadKernel(); err != nil {
		return m, err
	}
	for _, p := range r.servers {
		if err := m.servers.Add(ctx, p.PID()); err != nil {
			return m, fmt.Errorf("a server has ended (--server-log shows what it said): %w", err)
		}
	}
	for _, w := range r.workers {
		w.askPings()
	}
	for _, w := range r.workers {
		if err := w.awaitPings(ctx); err != nil {
			return m, err
		}
		m.pings += w.pings.Load()
		if err := m.workers.Add(ctx, w.cmd.Process.Pid); err != nil {
			return m, err
		}
	}
	return m, nil
}

func (r *run) report(before, opened, settled, held reading, seconds, hold float64) *Report {
	n := r.opened()
	per := func(bytes int64) float64 { return float64(bytes) / float64(max(n, 1)) }
	rep := &Report{
		Asked: r.cfg.Conns, Conns: n, Short: r.short, Processes: r.cfg.Processes, Servers: r.cfg.Servers, Seconds: seconds, Waited: r.memory.waited.Seconds(), Rate: float64(n) / seconds,
		OpenCPUUS:    report.PerMessage(opened.servers.CPUSeconds-before.servers.CPUSeconds, int64(n)),
		OpenClientUS: report.PerMessage(opened.workers.CPUSeconds-before.workers.CPUSeconds, int64(n)),
		ServerBytes:  per(settled.servers.RSSBytes - before.servers.RSSBytes), GeneratorBytes: per(settled.workers.RSSBytes - before.workers.RSSBytes),
		SlabBytes: per(settled.kernel.Slab - before.kernel.Slab), BufferBytes: per(settled.kernel.Buffers - before.kernel.Buffers),
		TotalBytes: per(before.kernel.Available - settled.kernel.Available), ServerRSS: settled.servers.RSSBytes, Available: settled.kernel.Available,
		HoldSeconds: hold, Heartbeats: held.pings, HoldBeats: held.pings - settled.pings,
	}
	cpu := held.servers.CPUSeconds - settled.servers.CPUSeconds
	rep.HoldCPUUS = report.PerMessage(cpu, rep.HoldBeats)
	if hold > 0 {
		rep.IdleCPUUS = report.PerMessage(cpu, int64(n)) / hold
	}
	rep.Caches = largest(before.kernel.Caches, settled.kernel.Caches, n)
	return rep
}

// least is what a kind of objects must take of each connection to be named, in bytes.
const least = 32

// largest are the kinds of the kernel's objects that grew most.
func largest(before, after map[string]int64, conns int) (list []Cache) {
	for name, bytes := range after {
		if per := float64(bytes-before[name]) / float64(max(conns, 1)); per >= least {
			list = append(list, Cache{name, per})
		}
	}
	sort.Slice(list, func(i, j int) bool { return list[i].Bytes > list[j].Bytes })
	return list
}
