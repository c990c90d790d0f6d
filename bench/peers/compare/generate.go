package compare

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"
)

// generate loads a server and returns what was measured.
func (c *Config) generate(ctx context.Context, w Workload, pid int, address, admin string) (Figures, error) {
	dir, err := os.MkdirTemp("", "peers")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "report.json")
	args := append(c.generatorArgs(w), "--url", "ws://"+address+"/", "--server-pid", strconv.Itoa(pid), "--admin", "http://"+admin, "--json", file)
	if out, err := exec.CommandContext(ctx, c.Bench, args...).CombinedOutput(); err != nil {
		return nil, fmt.Errorf("%s %v: %w\n%s", c.Bench, args, err, out)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	if w.Size == 0 {
		return opening(text)
	}
	return load(text)
}

// generatorArgs choose the scenario. In the load all that is in flight is sent in one write, when all before is answered: so every server gets
// the same, however it answers.
func (c *Config) generatorArgs(w Workload) []string {
	if w.Size == 0 {
		return []string{"idle", "--state", "upgraded", "--conns", strconv.Itoa(c.Accept), "--settle", c.Settle.String(), "--hold", time.Millisecond.String()}
	}
	return []string{"echo", "--conns", strconv.Itoa(c.Conns), "--active", strconv.Itoa(c.Active), "--size", strconv.Itoa(w.Size),
		"--inflight", strconv.Itoa(w.Inflight), "--burst", "--warmup", c.Warmup.String(), "--duration", c.Duration.String()}
}

// load reads the report of the generator's scenario echo. Microseconds per message are seconds per million messages.
func load(text []byte) (Figures, error) {
	var r struct {
		Messages int64   `json:"messages"`
		Seconds  float64 `json:"seconds"`
		Rate     float64 `json:"rate"`
		RTT      struct {
			P50 float64 `json:"p50"`
			P99 float64 `json:"p99"`
		} `json:"rtt_ms"`
		Server struct {
			CPUUS float64 `json:"cpu_us_per_message"`
		} `json:"server"`
		GeneratorCPU float64 `json:"client_cpu_seconds"`
	}
	if err := json.Unmarshal(text, &r); err != nil {
		return nil, fmt.Errorf("the report of the generator: %w", err)
	}
	if r.Messages == 0 {
		return nil, fmt.Errorf("no message was echoed in %.1f s", r.Seconds)
	}
	return Figures{Rate: r.Rate, P50: r.RTT.P50, P99: r.RTT.P99, CPU: r.Server.CPUUS, Busy: 100 * r.GeneratorCPU / r.Seconds}, nil
}

// opening reads the report of the generator's scenario idle.
func opening(text []byte) (Figures, error) {
	var r struct {
		Conns    float64 `json:"conns"`
		Seconds  float64 `json:"open_seconds"`
		CPUUS    float64 `json:"open_cpu_us"`
		RSSBytes float64 `json:"rss_bytes_per_conn"`
	}
	if err := json.Unmarshal(text, &r); err != nil {
		return nil, fmt.Errorf("the report of the generator: %w", err)
	}
	if r.Seconds <= 0 {
		return nil, fmt.Errorf("the connections were opened in %v s", r.Seconds)
	}
	return Figures{AcceptRate: r.Conns / r.Seconds, AcceptCPU: r.CPUUS, RSS: r.RSSBytes}, nil
}
