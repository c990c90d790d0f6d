package compare

import (
	"context"
	"fmt"
	"net"
	"time"
)

// Sample is one measurement.
type Sample struct {
	Round    int     `json:"round"` // from 1
	Workload string  `json:"workload"`
	Server   string  `json:"server"`
	Figures  Figures `json:"figures,omitempty"`
	Error    string  `json:"error,omitempty"` // why there are no figures
}

// Run measures everything. A measurement that fails is a sample with an error, and the others go on; the error is that of the configuration or of
// ctx, which comes with what was measured until then.
func Run(ctx context.Context, cfg Config) (*Report, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("compare: %w", err)
	}
	host, err := describeHost(ctx, &cfg)
	if err != nil {
		return nil, fmt.Errorf("compare: %w", err)
	}
	var samples []Sample
	plan := cfg.plan()
	for i, s := range plan {
		sample := Sample{Round: s.round + 1, Workload: s.workload.Name, Server: cfg.Servers[s.server]}
		sample.Figures, err = cfg.measure(ctx, s)
		if ctx.Err() != nil {
			break
		}
		if err != nil {
			sample.Error = err.Error()
		}
		samples = append(samples, sample)
		fmt.Fprintf(cfg.Log, "%3d/%d  round %d  %-24s %-12s %v%s\n", i+1, len(plan), sample.Round, sample.Workload, sample.Server, sample.Figures, sample.Error)
	}
	return newReport(&cfg, host, samples), ctx.Err()
}

// measure runs one server under one workload.
func (c *Config) measure(ctx context.Context, s step) (Figures, error) {
	ctx, cancel := context.WithTimeout(ctx, c.Warmup+c.Duration+c.Settle+2*time.Minute)
	defer cancel()
	listen, admin, err := freeAddresses()
	if err != nil {
		return nil, err
	}
	p, err := start(ctx, c.command(c.Servers[s.server], listen, admin), listen)
	if err != nil {
		return nil, err
	}
	defer p.stop()
	f, err := c.generate(ctx, s.workload, p.pid(), listen, admin)
	if err != nil {
		return nil, fmt.Errorf("%w\nthe server said: %s", err, p.said())
	}
	return f, nil
}

// command is how a server is started.
func (c *Config) command(name, listen, admin string) []string {
	if name == Ours {
		return []string{c.Switchyard, "echo", "--listen", listen, "--admin", admin}
	}
	return []string{c.Peers, "serve", name, "--listen", listen, "--admin", admin}
}

// freeAddresses are two that nobody listens on now. Each measurement takes others, so that one server's closing connections are not in the next
// one's way.
func freeAddresses() (listen, admin string, err error) {
	first, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", "", err
	}
	defer first.Close()
	second, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", "", err
	}
	defer second.Close()
	return first.Addr().String(), second.Addr().String(), nil
}
