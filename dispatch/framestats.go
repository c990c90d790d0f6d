package dispatch

import (
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/switchyard-im/switchyard/frame"
)

// frameStats counts frames and their bytes by type. Each loop and each runner has its own, so that the counters are never contended; the
// collector adds them up.
type frameStats [frameTypes]struct{ frames, bytes atomic.Uint64 }

// frameTypes is one more than the highest type that has a counter; anything beyond is counted as type 0, unknown.
const frameTypes = 0x40

func (s *frameStats) add(typ frame.Type, frames, bytes int) {
	if typ >= frameTypes || !typ.Known() {
		typ = 0
	}
	s[typ].frames.Add(uint64(frames))
	s[typ].bytes.Add(uint64(bytes))
}

// written counts frames of this server's own encoding, whose type is always the second byte.
func (s *frameStats) written(f []byte, frames int) { s.add(frame.Type(f[1]), frames, len(f)) }

var (
	descFrameCount = prometheus.NewDesc("switchyard_frames_total", "Frames by type and direction; a frame for many connections counts for each.", []string{"type", "direction"}, nil)
	descFrameBytes = prometheus.NewDesc("switchyard_frame_bytes_total", "Bytes of those frames as msgpack.", []string{"type", "direction"}, nil)
)

// frameCollector adds up what all loops and runners counted.
type frameCollector struct{ center *Center }

// Describe implements prometheus.Collector.
func (fc *frameCollector) Describe(ch chan<- *prometheus.Desc) {
	ch <- descFrameCount
	ch <- descFrameBytes
}

// Collect implements prometheus.Collector.
func (fc *frameCollector) Collect(ch chan<- prometheus.Metric) {
	c := fc.center
	out := make([]*frameStats, 0, len(c.gate.out)+len(c.runners)+1)
	for i := range c.gate.out {
		out = append(out, &c.gate.out[i])
	}
	for _, r := range c.runners {
		out = append(out, &r.out)
	}
	out = append(out, &c.jobs.out)
	in := make([]*frameStats, 0, len(c.gate.in))
	for i := range c.gate.in {
		in = append(in, &c.gate.in[i])
	}
	collectFrames(ch, "in", in)
	collectFrames(ch, "out", out)
}

func collectFrames(ch chan<- prometheus.Metric, direction string, stats []*frameStats) {
	for typ := range frame.Type(frameTypes) {
		if typ != 0 && !typ.Known() {
			continue
		}
		var frames, bytes uint64
		for _, s := range stats {
			frames += s[typ].frames.Load()
			bytes += s[typ].bytes.Load()
		}
		name := "unknown"
		if typ != 0 {
			name = typ.String()
		}
		ch <- prometheus.MustNewConstMetric(descFrameCount, prometheus.CounterValue, float64(frames), name, direction)
		ch <- prometheus.MustNewConstMetric(descFrameBytes, prometheus.CounterValue, float64(bytes), name, direction)
	}
}
