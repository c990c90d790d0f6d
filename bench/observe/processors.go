package observe

import (
	"fmt"
	"os"
	"strconv"
	"strings"
)

// Processors is what all processors of the machine together have done since it started, in seconds.
type Processors struct {
	Total  float64
	Idle   float64 // nothing to do, or waiting for a disk
	Stolen float64 // taken away by the hypervisor while there was something to do
}

// ReadProcessors reads /proc/stat.
func ReadProcessors() (Processors, error) {
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return Processors{}, fmt.Errorf("observe: %w", err)
	}
	return parseProcessors(string(text))
}

// parseProcessors takes the first line: user, nice, system, idle, iowait, irq, softirq, steal, and two that are in user and nice already.
func parseProcessors(text string) (p Processors, err error) {
	line, _, _ := strings.Cut(text, "\n")
	fields := strings.Fields(line)
	if len(fields) < 9 || fields[0] != "cpu" {
		return p, fmt.Errorf("observe: cannot read %.40q in /proc/stat", line)
	}
	for i, field := range fields[1:9] {
		ticks, err := strconv.ParseFloat(field, 64)
		if err != nil {
			return p, fmt.Errorf("observe: cannot read %.40q in /proc/stat: %w", line, err)
		}
		seconds := ticks / ticksPerSecond
		p.Total += seconds
		switch i {
		case 3, 4:
			p.Idle += seconds
		case 7:
			p.Stolen += seconds
		}
	}
	return p, nil
}

// Since returns the parts of the time from an earlier reading in which the processors were not idle, and were taken away. Both are 0 if no time has
// passed; the kernel counts in hundredths of a second.
func (p Processors) Since(before Processors) (busy, stolen float64) {
	total := p.Total - before.Total
	if total <= 0 {
		return 0, 0
	}
	return 1 - (p.Idle-before.Idle)/total, (p.Stolen - before.Stolen) / total
}
