package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"github.com/switchyard-im/switchyard/bench/chaos"
	"github.com/switchyard-im/switchyard/bench/cluster"
	"github.com/switchyard-im/switchyard/bench/meter"
	"github.com/switchyard-im/switchyard/bench/report"
)

// shareFlags have several processes drive a load.
type shareFlags struct {
	Processes int `default:"0" help:"Processes of the generator on this machine, among which the load is shared. 0: one, or for idle --serve one for each 18,000 connections." placeholder:"N"`
}

func (f *shareFlags) shares() *shareFlags { return f }

// maxProcesses bounds the processes on one machine.
const maxProcesses = 256

// job is what each member of a cluster is given. It drives its part of each load.
type job struct {
	Loads []jobLoad `json:"loads"`
}

// answer is what a member found, for each load of the job.
type answer struct {
	Loads []answerLoad `json:"loads"`
}

type answerLoad struct {
	Report json.RawMessage            `json:"report"`
	Curves map[string]*report.Latency `json:"curves"`
}

// agents are the machines that share the load, if there are any besides this.
type agents struct {
	addresses []string
	secret    *cluster.Secret
}

// drive runs the loads: here, in several processes, or on several machines. A recording of a run that lost one of them knows that. Victims is the trouble that loads
// of this process see themselves.
func (t *terminal) drive(ctx context.Context, w *whole, rec *recording, watch meter.Watch, victims *chaos.Run) ([]sharedOutcome, error) {
	all, processes := w.loads, w.flags.Processes
	if t.agents == nil && processes <= 1 {
		return place{index: 0, of: 1, watch: watch, chaos: victims}.run(ctx, all)
	}
	for i := range all {
		if err := all[i].readKey(); err != nil {
			return nil, err
		}
	}
	members, err := t.members(ctx, processes)
	if err != nil {
		return nil, err
	}
	results, err := cluster.Run(ctx, cluster.Config{Members: members, Version: version, Body: job{all}, Watch: watch})
	if errors.Is(err, cluster.ErrLost) && len(results) > 0 {
		rec.lost = err
	} else if err != nil {
		return nil, err
	}
	return merged(w.kinds, results)
}

// members dials the agents, or starts processes.
func (t *terminal) members(ctx context.Context, processes int) (all []cluster.Member, err error) {
	defer func() {
		if err != nil {
			for _, m := range all {
				_ = m.Conn.Close()
			}
		}
	}()
	if t.agents != nil {
		for _, a := range t.agents.addresses {
			conn, err := cluster.Dial(ctx, a, t.agents.secret)
			if err != nil {
				return all, err
			}
			all = append(all, cluster.Member{Name: "agent " + a, Conn: conn})
		}
		return all, nil
	}
	if processes > maxProcesses {
		return nil, fmt.Errorf("%w: %d processes are too many, use at most %d", errUsage, processes, maxProcesses)
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	for i := range processes {
		p, err := cluster.Start(self, "worker")
		if err != nil {
			return all, err
		}
		all = append(all, cluster.Member{Name: fmt.Sprintf("process %d of %d", i+1, processes), Conn: p})
	}
	return all, nil
}

// merged adds up what the members found.
func merged(kinds []kind, results []cluster.Result) ([]sharedOutcome, error) {
	sums, curves := make([]sharedOutcome, len(kinds)), make([]map[string]*report.Latency, len(kinds))
	for _, r := range results {
		var a answer
		if err := json.Unmarshal(r.Body, &a); err != nil || len(a.Loads) != len(kinds) {
			return nil, fmt.Errorf("%s answered what is no report: %w", r.Member, err)
		}
		for i, l := range a.Loads {
			rep := kinds[i].empty()
			if err := json.Unmarshal(l.Report, rep); err != nil {
				return nil, fmt.Errorf("%s answered what is no report: %w", r.Member, err)
			}
			curves[i] = report.MergeCurves(curves[i], l.Curves)
			if sums[i] == nil {
				sums[i] = rep
			} else {
				report.Merge(sums[i], rep)
			}
		}
	}
	for i, sum := range sums {
		sum.Merged(curves[i])
	}
	return sums, nil
}

// work is a member's: it drives its part of the job's loads.
func work(ctx context.Context, p cluster.Part) (any, error) {
	var j job
	if err := json.Unmarshal(p.Body, &j); err != nil {
		return nil, fmt.Errorf("the job cannot be read: %w", err)
	}
	own := watchUsage(ctx, watched{})
	defer own.stop()
	found, err := place{index: p.Index, of: p.Of, gate: p.Gate, watch: func(s meter.Sample) {
		own.add(s.Gauges)
		p.Watch(s)
	}}.run(ctx, j.Loads)
	if err != nil {
		return nil, err
	}
	var a answer
	for _, f := range found {
		text, err := json.Marshal(f)
		if err != nil {
			return nil, err
		}
		a.Loads = append(a.Loads, answerLoad{text, f.Curves()})
	}
	return a, nil
}

// readKey takes the key file into the job, since it is not on the other machines.
func (l *jobLoad) readKey() error {
	command, err := parseLoad(l.Args)
	if err != nil {
		return fmt.Errorf("%w: %w", errUsage, err)
	}
	if path := command.keyFile(); path != nil && *path != "" {
		if l.Key, err = os.ReadFile(*path); err != nil {
			return fmt.Errorf("the key of load %s: %w", l.Name, err)
		}
	}
	return nil
}

// hidden is a file in memory, which no disk sees and which ends with the process. Its name is a path until it is closed.
func hidden(text []byte) (*os.File, error) {
	fd, err := unix.MemfdCreate("switchyard-bench", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("memfd_create", err)
	}
	f := os.NewFile(uintptr(fd), fmt.Sprintf("/proc/self/fd/%d", fd))
	if _, err := f.Write(text); err != nil {
		_ = f.Close()
		return nil, err
	}
	return f, nil
}
