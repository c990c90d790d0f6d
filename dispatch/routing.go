package dispatch

import (
	"fmt"
	"time"

	"github.com/switchyard-im/switchyard/dispatch/desk"
)

// GroupConfig is how the desk assigns the conversations of a group. The zero value is the least active agent. The desk can do more (see package
// desk); here is what the shards carry out: assignments.
type GroupConfig struct {
	Strategy desk.Strategy // default least_active
	Sticky   time.Duration // a visitor who comes back within this time gets its last agent, if that one is free; 0: anybody
}

// desk returns what the desk is told.
func (c *Config) desk() desk.Config {
	d := desk.Config{DefaultCapacity: c.DefaultCapacity, Default: c.DefaultGroup.desk(), Groups: make(map[string]desk.GroupConfig, len(c.Groups))}
	for name, g := range c.Groups {
		d.Groups[name] = g.desk()
	}
	return d
}

func (g GroupConfig) desk() desk.GroupConfig {
	return desk.GroupConfig{Strategy: g.Strategy, StickyMS: g.Sticky.Milliseconds()}
}

func (c *Config) validateGroups() error {
	if err := c.DefaultGroup.validate("default"); err != nil {
		return err
	}
	for name, g := range c.Groups {
		if err := g.validate(name); err != nil {
			return err
		}
	}
	return c.desk().Validate()
}

func (g GroupConfig) validate(name string) error {
	if g.Strategy == desk.Manual {
		return fmt.Errorf("dispatch: group %s: the strategy manual is not there yet, since agents cannot take from a queue; choose least_active, weighted, round_robin or longest_idle", name)
	}
	return nil
}
