package history

import (
	"strings"
	"testing"
	"time"
)

func TestConfigRefusesWhatCannotWork(t *testing.T) {
	good := Config{Addresses: []string{"127.0.0.1:9000"}}
	if c, err := Open(good); err != nil {
		t.Fatal(err)
	} else if err := c.Close(); err != nil {
		t.Error(err)
	}
	for name, change := range map[string]func(*Config){
		"Addresses":          func(c *Config) { c.Addresses = nil },
		"DialTimeout":        func(c *Config) { c.DialTimeout = -1 },
		"InsertTimeout":      func(c *Config) { c.InsertTimeout = 1 },
		"ReadConnections":    func(c *Config) { c.ReadConnections = -1 },
		"Retention":          func(c *Config) { c.Retention = time.Millisecond },
		"BatchRows":          func(c *Config) { c.BatchRows = maxBatchRows + 1 },
		"BatchBytes":         func(c *Config) { c.BatchBytes = -1 },
		"BatchDelay":         func(c *Config) { c.BatchDelay = 2 * time.Hour },
		"RetryMin, RetryMax": func(c *Config) { c.RetryMin = time.Minute },
	} {
		cfg := good
		change(&cfg)
		if _, err := Open(cfg); err == nil || !strings.Contains(err.Error(), "history: "+name+" is ") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
