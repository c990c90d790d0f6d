package observe

import (
	"bufio"
	"fmt"
	"os"
	"strconv"
	"strings"
)

// MemAvailable is the memory that the machine could still give, in bytes.
func MemAvailable() (int64, error) {
	m, err := meminfo()
	return m["MemAvailable"], err
}

// meminfo reads /proc/meminfo, in bytes.
func meminfo() (map[string]int64, error) {
	text, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return nil, fmt.Errorf("observe: %w", err)
	}
	return parseMeminfo(string(text)), nil
}

func parseMeminfo(text string) map[string]int64 {
	m := map[string]int64{}
	for line := range strings.Lines(text) {
		name, rest, _ := strings.Cut(line, ":")
		if fields := strings.Fields(rest); len(fields) == 2 && fields[1] == "kB" {
			n, _ := strconv.ParseInt(fields[0], 10, 64)
			m[name] = n << 10
		}
	}
	return m
}

// Kernel is what the kernel holds, in bytes.
type Kernel struct {
	Available int64            // what could still be given to anybody
	Slab      int64            // objects of the kernel, such as sockets
	Buffers   int64            // of TCP: what waits to be sent or read
	Caches    map[string]int64 // the slab by kind; empty unless root may read it
}

// ReadKernel reads /proc/meminfo, /proc/net/sockstat and, if it may, /proc/slabinfo.
func ReadKernel() (Kernel, error) {
	m, err := meminfo()
	if err != nil {
		return Kernel{}, err
	}
	k := Kernel{Available: m["MemAvailable"], Slab: m["Slab"], Caches: map[string]int64{}}
	sockstat, err := os.ReadFile("/proc/net/sockstat")
	if err != nil {
		return Kernel{}, fmt.Errorf("observe: %w", err)
	}
	k.Buffers = parseSockstat(string(sockstat)) * int64(os.Getpagesize())
	if slabinfo, err := os.ReadFile("/proc/slabinfo"); err == nil {
		k.Caches = parseSlabinfo(string(slabinfo))
	}
	return k, nil
}

// parseSockstat takes the pages of the TCP line.
func parseSockstat(text string) int64 {
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if len(fields) == 0 || fields[0] != "TCP:" {
			continue
		}
		for i := 1; i+1 < len(fields); i += 2 {
			if fields[i] == "mem" {
				n, _ := strconv.ParseInt(fields[i+1], 10, 64)
				return n
			}
		}
	}
	return 0
}

// parseSlabinfo takes the name, the pages of a slab (sixth column) and the number of slabs (the last but one) of each cache.
func parseSlabinfo(text string) map[string]int64 {
	caches := map[string]int64{}
	for line := range strings.Lines(text) {
		fields := strings.Fields(line)
		if len(fields) < 15 || fields[0] == "#" {
			continue
		}
		pages, err1 := strconv.ParseInt(fields[5], 10, 64)
		slabs, err2 := strconv.ParseInt(fields[14], 10, 64)
		if err1 == nil && err2 == nil {
			caches[fields[0]] = pages * slabs * int64(os.Getpagesize())
		}
	}
	return caches
}

// Listeners counts the sockets that listen on a TCP port of this machine.
func Listeners(port uint16) (int, error) {
	n := 0
	for _, file := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		f, err := os.Open(file)
		if os.IsNotExist(err) {
			continue
		}
		if err != nil {
			return 0, fmt.Errorf("observe: %w", err)
		}
		n += countListeners(bufio.NewScanner(f), port)
		f.Close()
	}
	return n, nil
}

// countListeners counts the lines in state 0A whose local address has the port. The kernel lists listening sockets first, so the rest, which may be
// a million, is not looked at.
func countListeners(lines *bufio.Scanner, port uint16) (n int) {
	suffix := fmt.Sprintf(":%04X", port)
	for lines.Scan(); lines.Scan(); { // the first line is the heads of the columns
		fields := strings.Fields(lines.Text())
		if len(fields) < 4 || fields[3] != "0A" {
			break
		}
		if strings.HasSuffix(fields[1], suffix) {
			n++
		}
	}
	return n
}
