package main

import (
	"fmt"
	"time"

	"github.com/switchyard-im/switchyard/dispatch/auth"
	"github.com/switchyard-im/switchyard/frame"
)

type tokenCmd struct {
	Key       string        `required:"" type:"path" placeholder:"FILE" help:"Private key or secret, as in the option auth.keys."`
	Kid       string        `help:"Key id to put into the token."`
	Role      string        `required:"" enum:"visitor,agent,supervisor" help:"visitor, agent or supervisor."`
	Sub       string        `required:"" help:"The user's id, at most 128 bytes."`
	Groups    []string      `placeholder:"G,..." help:"Groups where a visitor may open conversations, or that an agent serves."`
	Name      string        `help:"The name that others see."`
	Capacity  int           `help:"Conversations that an agent takes at a time; 0 is the server's default."`
	Weight    int           `help:"Conversations of an agent in relation to others, where its group goes by weight; 0 is 1."`
	Skills    []string      `placeholder:"S,..." help:"Skills of an agent, which conversations may require or prefer."`
	Languages []string      `placeholder:"L,..." help:"Languages of an agent; none: it is taken to speak all."`
	TTL       time.Duration `default:"24h" help:"How long the token is valid."`
}

// Run prints the token alone, so that it can be used in a script.
func (c *tokenCmd) Run(env *environment) error {
	key, err := auth.LoadKey(c.Kid, c.Key)
	if err != nil {
		return err
	}
	role, err := frame.ParseRole(c.Role)
	if err != nil {
		return err
	}
	now := time.Now()
	token, err := key.Sign(auth.Identity{
		User: c.Sub, Name: c.Name, Role: role, Groups: c.Groups, Capacity: c.Capacity, Weight: c.Weight,
		Skills: c.Skills, Languages: c.Languages, Expires: now.Add(c.TTL),
	}, now)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(env.stdout, token)
	return err
}
