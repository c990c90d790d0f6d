// Package routing reads the file that says how each group works: who gets its conversations, when it is open, what happens when nobody writes. It is a file of its own because its keys are the
// names of groups; the options of the server have fixed names.
package routing

import (
	"fmt"
	"time"

	"github.com/switchyard-im/switchyard/cmd/switchyard/config"
	"github.com/switchyard-im/switchyard/cmd/switchyard/yamlfile"
	"github.com/switchyard-im/switchyard/dispatch"
	"github.com/switchyard-im/switchyard/dispatch/desk"
	"github.com/switchyard-im/switchyard/dispatch/hours"
)

// Groups is what the file says.
type Groups struct {
	OfflineGrace time.Duration
	Default      dispatch.GroupConfig            // of those that are not named
	Named        map[string]dispatch.GroupConfig //
}

// Put fills the part of a configuration that the file speaks of.
func (g Groups) Put(c *dispatch.Config) {
	c.OfflineGrace, c.DefaultGroup, c.Groups = g.OfflineGrace, g.Default, g.Named
}

// file is the form of the file.
type file struct {
	OfflineGrace config.Duration  `yaml:"offline_grace"`
	Default      group            `yaml:"default"`
	Groups       map[string]group `yaml:"groups"`
}

type group struct {
	Strategy        string                 `yaml:"strategy"`
	MaxQueue        int                    `yaml:"max_queue"`
	Fallback        string                 `yaml:"fallback"`
	Age             config.Duration        `yaml:"age"`
	Sticky          config.Duration        `yaml:"sticky"`
	Avoid           config.Duration        `yaml:"avoid"`
	RequireLanguage bool                   `yaml:"require_language"`
	FirstReply      timer                  `yaml:"first_reply"`
	IdleAgent       timer                  `yaml:"idle_agent"`
	IdleVisitor     timer                  `yaml:"idle_visitor"`
	Reopen          config.Duration        `yaml:"reopen"`
	Hours           string                 `yaml:"hours"`
	Outside         string                 `yaml:"outside"`
	Texts           map[desk.Reason]string `yaml:"texts"`
}

type timer struct {
	Warn  config.Duration `yaml:"warn"`
	After config.Duration `yaml:"after"`
	Then  string          `yaml:"then"`
}

// Load reads the file; an empty name means no file, and then every group has the defaults.
func Load(name string) (Groups, error) {
	if name == "" {
		return Groups{}, nil
	}
	var f file
	if err := yamlfile.Read(name, &f); err != nil {
		return Groups{}, fmt.Errorf("routing.file: %s: %w", name, err)
	}
	g, err := f.config()
	if err != nil {
		return Groups{}, fmt.Errorf("routing.file: %s: %w", name, err)
	}
	return g, nil
}

func (f *file) config() (g Groups, err error) {
	g.OfflineGrace, g.Named = time.Duration(f.OfflineGrace), make(map[string]dispatch.GroupConfig, len(f.Groups))
	if g.Default, err = f.group("default", f.Default); err != nil {
		return Groups{}, err
	}
	for name, one := range f.Groups {
		if g.Named[name], err = f.group(name, one); err != nil {
			return Groups{}, err
		}
	}
	c := dispatch.Config{Loops: 1}
	g.Put(&c)
	return g, c.Validate()
}

// group makes the configuration of one.
func (f *file) group(name string, g group) (c dispatch.GroupConfig, err error) {
	c = dispatch.GroupConfig{
		Strategy: desk.Strategy(g.Strategy), MaxQueue: g.MaxQueue, Fallback: g.Fallback,
		Age: time.Duration(g.Age), Sticky: time.Duration(g.Sticky), Avoid: time.Duration(g.Avoid), Reopen: time.Duration(g.Reopen),
		RequireLanguage: g.RequireLanguage, FirstReply: g.FirstReply.config(), IdleAgent: g.IdleAgent.config(), IdleVisitor: g.IdleVisitor.config(),
		Outside: desk.Outside(g.Outside), Texts: g.Texts,
	}
	if _, known := f.Groups[g.Fallback]; g.Fallback != "" && !known {
		return c, fmt.Errorf("group %s: its fallback %q is not among the groups; correct the name, or add it as %q", name, g.Fallback, g.Fallback+": {}")
	}
	if g.Hours != "" {
		if c.Hours, err = hours.Parse(g.Hours); err != nil {
			return c, fmt.Errorf("group %s: %w", name, err)
		}
	}
	return c, nil
}

func (t timer) config() dispatch.Timer {
	return dispatch.Timer{Warn: time.Duration(t.Warn), After: time.Duration(t.After), Then: desk.Action(t.Then)}
}
