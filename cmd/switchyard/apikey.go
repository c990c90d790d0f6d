package main

import (
	"fmt"

	"github.com/switchyard-im/switchyard/cmd/switchyard/apikeys"
)

type apikeyCmd struct {
	Name   string   `required:"" help:"The application: shown in logs, in events, and as the sender of its messages."`
	Scopes []string `required:"" placeholder:"S,..." help:"What it may do; docs/api.md lists the scopes."`
	Groups []string `placeholder:"G,..." help:"Groups that it is for. Empty: all."`
}

// Run prints a new key, which is kept nowhere, and below it what belongs into the file of api.keys.
func (c *apikeyCmd) Run(env *environment) error {
	secret, hash := apikeys.New()
	k := apikeys.Key{Name: c.Name, Hash: hash, Groups: c.Groups}
	for _, s := range c.Scopes {
		k.Scopes = append(k.Scopes, apikeys.Scope(s))
	}
	entry, err := k.Entry()
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(env.stdout, "%s\n\n# For the file of api.keys, which does not hold the key above:\n%s", secret, entry)
	return err
}
