package main

import (
	"time"

	"github.com/switchyard-im/switchyard/bench/audit"
)

// historyFlags have the conversations read back after the load.
type historyFlags struct {
	History       string        `help:"URL of the server's HTTP interface (api.listen, http://HOST:PORT): after the load, read every conversation back and compare it with what was accepted." placeholder:"URL"`
	HistoryWithin time.Duration `default:"30s" help:"How long to wait for what is not in the history yet, or for a history that cannot be read."`
	HistorySample int           `help:"Read only so many conversations back, chosen at random. 0: all; each message of those costs the generator one to two bytes."`
}

// audit is what a scenario reads back by; nil: nothing.
func (f *historyFlags) audit() *audit.Config {
	if f.History == "" {
		return nil
	}
	return &audit.Config{URL: f.History, Within: f.HistoryWithin, Sample: f.HistorySample}
}
