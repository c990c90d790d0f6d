package compare

import (
	"cmp"
	"context"
	"debug/buildinfo"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"time"

	"github.com/switchyard-im/switchyard/bench/peers/server"
)

// Host is where and what was measured.
type Host struct {
	Date       time.Time         `json:"date"`
	Switchyard string            `json:"switchyard"` // its version: the commit
	CPU        string            `json:"cpu"`
	Processors int               `json:"processors"`
	Kernel     string            `json:"kernel"`
	Go         string            `json:"go"`      // that built the peers
	Modules    map[string]string `json:"modules"` // name of a peer -> module and version
	Load       string            `json:"load"`    // averages when the run began
}

func describeHost(ctx context.Context, cfg *Config) (Host, error) {
	version, err := exec.CommandContext(ctx, cfg.Switchyard, "version").Output()
	if err != nil {
		return Host{}, fmt.Errorf("%s version: %w", cfg.Switchyard, err)
	}
	cpuinfo, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return Host{}, err
	}
	kernel, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		return Host{}, err
	}
	load, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return Host{}, err
	}
	return Host{
		Date: time.Now().UTC(), Switchyard: strings.TrimSpace(string(version)), CPU: cpuModel(string(cpuinfo)), Processors: runtime.NumCPU(),
		Kernel: strings.TrimSpace(string(kernel)), Go: runtime.Version(), Modules: modules(cfg.Peers, cfg.Servers), Load: strings.TrimSpace(string(load)),
	}, nil
}

// cpuModel is the first model name in /proc/cpuinfo.
func cpuModel(cpuinfo string) string {
	for line := range strings.Lines(cpuinfo) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return "unknown (" + runtime.GOARCH + ")"
}

// modules are the versions of the peers that a program was built with.
func modules(program string, servers []string) map[string]string {
	versions := map[string]string{}
	if info, err := buildinfo.ReadFile(program); err == nil {
		for _, m := range info.Deps {
			versions[m.Path] = m.Version
		}
	}
	all := map[string]string{}
	for _, name := range servers {
		if p := server.Find(name); p != nil {
			all[name] = p.Module + " " + cmp.Or(versions[p.Module], "of an unknown version")
		}
	}
	return all
}

// text says it all in two sentences and a list.
func (h Host) text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s; %s, %d processors shared by the server and the generator, Linux %s, %s; %s; load at the start %s.\n\n",
		h.Switchyard, h.CPU, h.Processors, h.Kernel, h.Go, h.Date.Format(time.RFC3339), h.Load)
	for _, p := range server.All {
		if m, ok := h.Modules[p.Name]; ok {
			fmt.Fprintf(&b, "- %s: %s; %s\n", p.Name, m, p.Setup)
		}
	}
	return b.String()
}
