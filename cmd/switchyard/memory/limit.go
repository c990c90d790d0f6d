// Package memory knows how much memory the process may use and how much of it is in use. Called at start, and Used from any goroutine.
package memory

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Limit is how much memory the process may use, and who says so.
type Limit struct {
	Bytes int64
	From  string
}

// share is what a limit that nobody chose for this process leaves to others: kernel buffers of its sockets, file cache, other processes.
const share = 0.8

// Set finds the limit and tells the runtime, whose garbage collector then works harder instead of growing beyond it. Configured 0 means
// GOMEMLIMIT, or else a share of what the control group or the machine has.
func Set(configured int64) (Limit, error) {
	if configured == 0 {
		if l := debug.SetMemoryLimit(-1); l != math.MaxInt64 {
			return Limit{l, "GOMEMLIMIT"}, nil
		}
	}
	machine, err := machineMemory()
	if err != nil && configured == 0 {
		return Limit{}, fmt.Errorf("memory: the machine does not tell how much it has: %w; set overload.memory_limit", err)
	}
	l := find(configured, machine, "/")
	debug.SetMemoryLimit(l.Bytes)
	return l, nil
}

// machineMemory asks the kernel by a system call: /proc/meminfo is not there for a service with ProcSubset=pid, as ours is.
func machineMemory() (int64, error) {
	var info unix.Sysinfo_t
	err := unix.Sysinfo(&info)
	return int64(uint64(info.Totalram) * uint64(info.Unit)), err
}

// find chooses the limit of a machine with so much memory; root is the directory that holds proc and sys.
func find(configured, machine int64, root string) Limit {
	if configured != 0 {
		return Limit{configured, "overload.memory_limit"}
	}
	if group, ok := groupLimit(root); ok && group < machine {
		return Limit{int64(float64(group) * share), "80 % of the control group's limit"}
	}
	return Limit{int64(float64(machine) * share), "80 % of the machine's memory"}
}

// groupLimit finds the least memory.max of the process's control group (version 2) and those above it; false if there is none. Inside a
// container the group's own path may not be visible, and its files stand at the top.
// https://docs.kernel.org/admin-guide/cgroup-v2.html#memory-interface-files
func groupLimit(root string) (least int64, ok bool) {
	text, err := os.ReadFile(filepath.Join(root, "proc/self/cgroup"))
	if err != nil {
		return 0, false
	}
	for line := range strings.Lines(string(text)) {
		path, found := strings.CutPrefix(strings.TrimSpace(line), "0::")
		if !found {
			continue
		}
		for path = filepath.Clean("/" + path); ; path = filepath.Dir(path) {
			if n, err := readInt(filepath.Join(root, "sys/fs/cgroup", path, "memory.max")); err == nil && (!ok || n < least) {
				least, ok = n, true
			}
			if path == "/" {
				break
			}
		}
	}
	return least, ok
}

// readInt reads a number; "max" is none.
func readInt(file string) (int64, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return 0, err
	}
	return strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
}
