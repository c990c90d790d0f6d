package observe

import (
	"bufio"
	"os"
	"runtime"
	"strings"
)

// Facts are what figures depend on besides the programs.
type Facts struct {
	CPU    string `json:"cpu"` // the model; "" if the system does not tell
	Cores  int    `json:"cores"`
	Memory int64  `json:"memory_bytes"`
	Kernel string `json:"kernel"`
	Arch   string `json:"arch"`
	Go     string `json:"go"` // of the generator
}

// ReadFacts tells about this machine. What cannot be read stays empty.
func ReadFacts() Facts {
	f := Facts{Cores: runtime.NumCPU(), Arch: runtime.GOARCH, Go: runtime.Version()}
	if m, err := meminfo(); err == nil {
		f.Memory = m["MemTotal"]
	}
	if release, err := os.ReadFile("/proc/sys/kernel/osrelease"); err == nil {
		f.Kernel = "Linux " + strings.TrimSpace(string(release))
	}
	if cpuinfo, err := os.Open("/proc/cpuinfo"); err == nil {
		f.CPU = parseModel(bufio.NewScanner(cpuinfo))
		cpuinfo.Close()
	}
	return f
}

// parseModel takes the first model name of /proc/cpuinfo.
func parseModel(lines *bufio.Scanner) string {
	for lines.Scan() {
		if name, value, ok := strings.Cut(lines.Text(), ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return ""
}
