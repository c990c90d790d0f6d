package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/switchyard-im/switchyard/cmd/switchyard/apikeys"
	"github.com/switchyard-im/switchyard/cmd/switchyard/canned"
	"github.com/switchyard-im/switchyard/cmd/switchyard/config"
	"github.com/switchyard-im/switchyard/cmd/switchyard/routing"
)

type configCmd struct {
	Default configDefaultCmd `cmd:"" help:"Print a commented configuration file with every option at its default."`
	Check   configCheckCmd   `cmd:"" help:"Report everything that is wrong (exit status 2), or print the effective configuration and where each value comes from."`
	Docs    configDocsCmd    `cmd:"" help:"Print docs/configuration.md."`
}

type configDefaultCmd struct{}

// Run prints the file.
func (configDefaultCmd) Run(env *environment) error {
	_, err := env.stdout.Write(config.DefaultYAML())
	return err
}

type configDocsCmd struct{}

// Run prints the page.
func (configDocsCmd) Run(env *environment) error {
	_, err := env.stdout.Write(config.DocsMarkdown())
	return err
}

type configCheckCmd struct {
	configFlags `embed:""`
}

// Run loads the configuration just as serve does, and reads the keys and the file of groups.
func (c *configCheckCmd) Run(env *environment) error {
	loaded, err := c.load(env)
	if err != nil {
		return err
	}
	if _, err := loadKeys(loaded.Auth.Keys); err != nil {
		return err
	}
	if _, err := routing.Load(loaded.Routing.File); err != nil {
		return err
	}
	if _, err := apikeys.Load(loaded.API.Keys); err != nil {
		return err
	}
	if _, err := canned.Load(loaded.API.Canned); err != nil {
		return err
	}
	if err := checkNotify(&loaded.Config); err != nil {
		return err
	}
	_, err = env.stdout.Write(loaded.YAML())
	return err
}

// configFlags are the flags from which serve and config check make a configuration.
type configFlags struct {
	Config   string   `type:"path" placeholder:"FILE" help:"YAML configuration file; SWITCHYARD_CONFIG names one too."`
	Listen   *string  `placeholder:"ADDR" help:"IP:PORT for clients (server.listen)."`
	Admin    *string  `placeholder:"ADDR" help:"IP:PORT for metrics, health and profiles (admin.listen)."`
	Data     *string  `placeholder:"DIR" help:"Directory of the store (store.dir)."`
	LogLevel *string  `placeholder:"LEVEL" help:"debug, info, warn or error (log.level)."`
	Set      []string `sep:"none" placeholder:"PATH=VALUE" help:"Any option, such as websocket.max_message=128KiB; may be repeated."`
	Dev      bool     `help:"Development: sign with a random key, kept in the data directory, and print tokens."`
}

// load reads file, environment and flags.
func (f *configFlags) load(env *environment) (*config.Loaded, error) {
	file := f.Config
	if file == "" {
		file = lookup(env.env, config.EnvPrefix+"CONFIG")
	}
	settings, err := f.settings()
	if err != nil {
		return nil, err
	}
	return config.Load(config.Sources{File: file, Env: env.env, Flags: settings, Dev: f.Dev})
}

// settings turns the flags into values of options. The named flags come last, since they are the plainer wish.
func (f *configFlags) settings() ([]config.Setting, error) {
	var all []config.Setting
	for _, s := range f.Set {
		path, text, found := strings.Cut(s, "=")
		if !found {
			return nil, config.Problems{{Origin: "--set", Text: fmt.Sprintf("%q has no value; write PATH=VALUE", s)}}
		}
		all = append(all, config.Setting{Flag: "--set", Path: path, Text: text})
	}
	named := []config.Setting{{Flag: "--listen", Path: "server.listen"}, {Flag: "--admin", Path: "admin.listen"}, {Flag: "--data", Path: "store.dir"}, {Flag: "--log-level", Path: "log.level"}}
	for i, value := range []*string{f.Listen, f.Admin, f.Data, f.LogLevel} {
		if value != nil {
			named[i].Text = *value
			all = append(all, named[i])
		}
	}
	return all, nil
}

// lookup returns the last value of a variable, as the operating system would.
func lookup(env []string, name string) string {
	for _, entry := range slices.Backward(env) {
		if value, found := strings.CutPrefix(entry, name+"="); found {
			return value
		}
	}
	return ""
}
