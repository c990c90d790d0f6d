// Package compare runs echo servers one at a time, each as a fresh process, loads them with switchyard-bench and reports what they did.
//
// What is compared is measured in one run: each round measures every server under every workload, the servers one right after the other, so that
// what the machine does meanwhile falls on all of them. The median of the rounds is the figure, the least and the greatest tell how
// far to trust it.
package compare

import (
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/switchyard-im/switchyard/bench/peers/server"
)

// Ours is the name of switchyard's own server.
const Ours = "switchyard"

// Config of a run. All fields are required.
type Config struct {
	Switchyard string `json:"-"` // path of the program that is measured
	Bench      string `json:"-"` // path of the load generator
	Peers      string `json:"-"` // path of this program

	Servers  []string      `json:"servers"`
	Rounds   int           `json:"rounds"`
	Conns    int           `json:"conns"`       // connections under load
	Active   int           `json:"active"`      // of which send
	Accept   int           `json:"accept"`      // connections that are only opened, 0: that is not measured
	Sizes    []int         `json:"sizes"`       // bytes of a message
	Inflight []int         `json:"inflight"`    // messages in one write of an active connection
	Warmup   time.Duration `json:"warmup_ns"`   // before each measured window
	Duration time.Duration `json:"duration_ns"` // of each measured window
	Settle   time.Duration `json:"settle_ns"`   // from the last handshake to the reading of memory

	Log io.Writer `json:"-"` // a line for each measurement
}

// Validate tells what is wrong with the configuration.
func (c *Config) Validate() error {
	if c.Rounds < 1 || c.Conns < 1 || c.Active < 1 || c.Active > c.Conns || c.Accept < 0 || c.Duration <= 0 || c.Warmup < 0 || c.Settle <= 0 {
		return errors.New("rounds, connections and durations must be positive, and no more connections active than there are")
	}
	if len(c.Servers) == 0 {
		return errors.New("no server to measure")
	}
	for _, name := range c.Servers {
		if name != Ours && server.Find(name) == nil {
			return fmt.Errorf("no server is called %q", name)
		}
	}
	return nil
}

// Workload is one thing that is measured.
type Workload struct {
	Name     string `json:"name"`
	Size     int    `json:"size"` // of a message; 0: connections are only opened
	Inflight int    `json:"inflight"`
}

// workloads are those of each round.
func (c *Config) workloads() []Workload {
	var all []Workload
	for _, size := range c.Sizes {
		for _, n := range c.Inflight {
			all = append(all, Workload{fmt.Sprintf("%d B, %d in flight", size, n), size, n})
		}
	}
	if c.Accept > 0 {
		all = append(all, Workload{Name: fmt.Sprintf("accept %d connections", c.Accept)})
	}
	return all
}

// step is one measurement.
type step struct {
	round    int
	workload Workload
	server   int // index in Servers
}

// plan is the order of all measurements. Each round starts with another server, so that none always follows the same neighbour's heat.
func (c *Config) plan() []step {
	var all []step
	for round := range c.Rounds {
		for _, w := range c.workloads() {
			for i := range c.Servers {
				all = append(all, step{round, w, (i + round) % len(c.Servers)})
			}
		}
	}
	return all
}
