package memory

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"testing"
)

// TestFind reads the files of systems of all kinds.
func TestFind(t *testing.T) {
	const gib = int64(1) << 30
	for name, tc := range map[string]struct {
		configured int64
		files      map[string]string
		want       float64
	}{
		"configured":              {configured: gib, want: float64(gib)},
		"the machine":             {want: 0.8 * float64(16*gib)},
		"a group without a limit": {files: map[string]string{"proc/self/cgroup": "0::/a\n", "sys/fs/cgroup/a/memory.max": "max\n"}, want: 0.8 * float64(16*gib)},
		"a group":                 {files: map[string]string{"proc/self/cgroup": "0::/a\n", "sys/fs/cgroup/a/memory.max": "4294967296\n"}, want: 0.8 * float64(4*gib)},
		"a group above": {files: map[string]string{"proc/self/cgroup": "0::/a/b\n", "sys/fs/cgroup/a/memory.max": "2147483648\n",
			"sys/fs/cgroup/a/b/memory.max": "4294967296\n"}, want: 0.8 * float64(2*gib)},
		"a container": {files: map[string]string{"proc/self/cgroup": "0::/../../x\n", "sys/fs/cgroup/memory.max": "1073741824\n"}, want: 0.8 * float64(gib)},
		"a group larger than the machine": {files: map[string]string{"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "109951162777600\n"},
			want: 0.8 * float64(16*gib)},
		"version 1": {files: map[string]string{"proc/self/cgroup": "4:memory:/a\n"}, want: 0.8 * float64(16*gib)},
	} {
		root := t.TempDir()
		write(t, root, tc.files)
		l := find(tc.configured, 16*gib, root)
		if math.Abs(float64(l.Bytes)-tc.want) > 1 || l.From == "" {
			t.Errorf("%s: %+v, want %.0f", name, l, tc.want)
		}
	}
}

// TestMachineMemory: the system call tells what /proc/meminfo tells, which may be less in a container.
func TestMachineMemory(t *testing.T) {
	text, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		t.Fatal(err)
	}
	var kb int64
	if _, err := fmt.Sscanf(string(text), "MemTotal: %d kB", &kb); err != nil {
		t.Fatal(err)
	}
	if got, err := machineMemory(); err != nil || got < kb<<10 {
		t.Errorf("%d bytes, %v, want at least %d", got, err, kb<<10)
	}
}

func write(t *testing.T, root string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// TestSet: what the operator says goes before what the system has, and the runtime is told.
func TestSet(t *testing.T) {
	before := debug.SetMemoryLimit(-1)
	defer debug.SetMemoryLimit(before)
	debug.SetMemoryLimit(1 << 40)
	if l, err := Set(0); err != nil || l != (Limit{1 << 40, "GOMEMLIMIT"}) {
		t.Errorf("%+v, %v", l, err)
	}
	if l, err := Set(1 << 41); err != nil || l.Bytes != 1<<41 || debug.SetMemoryLimit(-1) != 1<<41 {
		t.Errorf("%+v, %v", l, err)
	}
	debug.SetMemoryLimit(math.MaxInt64)
	if l, err := Set(0); err != nil || l.Bytes < 1<<27 || debug.SetMemoryLimit(-1) != l.Bytes {
		t.Errorf("%+v, %v", l, err)
	}
}

var kept [][]byte

// TestGaugeCountsWhatLives: 64 MiB that live are seen, and their garbage is not.
func TestGaugeCountsWhatLives(t *testing.T) {
	const limit, size = 1 << 30, 64 << 20
	g := NewGauge(Limit{Bytes: limit})
	runtime.GC()
	before := g.Used()
	for range 64 {
		kept = append(kept, make([]byte, size/64))
	}
	runtime.GC()
	full := g.Used()
	kept = nil
	runtime.GC()
	runtime.GC()
	after := g.Used()
	if before <= 0 || full-before < 0.9*size/limit || full-before > 1.2*size/limit || after-before > 0.1*size/limit {
		t.Errorf("%.4f of the limit, then %.4f with 64 MiB more, then %.4f", before, full, after)
	}
}
