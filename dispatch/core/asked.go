package core

import (
	"errors"
	"fmt"

	"github.com/switchyard-im/switchyard/dispatch/desk"
	"github.com/switchyard-im/switchyard/frame"
)

// asked is the details field of an open frame, see PROTOCOL.md.
type asked struct {
	Priority   int               `msgpack:"priority"`
	Language   string            `msgpack:"language"`
	Required   []string          `msgpack:"required"`
	Preferred  []string          `msgpack:"preferred"`
	Subject    string            `msgpack:"subject"`
	Attributes map[string]string `msgpack:"attributes"`
}

// Bounds of what a visitor may ask for.
const (
	askedBytes    = 8 << 10
	priorityMax   = 9
	skillsMax     = 16
	skillBytes    = 64
	subjectBytes  = 256
	attributesMax = 32
	attributeSize = 1024
)

// parseAsked reads details; nothing is nil.
func parseAsked(details []byte) (*asked, error) {
	if len(details) == 0 {
		return nil, nil
	}
	if len(details) > askedBytes {
		return nil, fmt.Errorf("details of %d bytes; at most 8 KB", len(details))
	}
	var a asked
	if err := frame.DecodeStrict(details, &a); err != nil {
		return nil, fmt.Errorf("details: %w; priority is a number, language and subject are texts, required and preferred lists of texts, attributes texts by their names", err)
	}
	return &a, a.check()
}

func (a *asked) check() error {
	switch {
	case a.Priority < 0 || a.Priority > priorityMax:
		return errors.New("details: the priority is from 0 to 9")
	case len(a.Required) > skillsMax || len(a.Preferred) > skillsMax:
		return errors.New("details: at most 16 required and 16 preferred skills")
	case len(a.Subject) > subjectBytes || len(a.Language) > skillBytes:
		return errors.New("details: the subject has at most 256 bytes, the language 64")
	case len(a.Attributes) > attributesMax:
		return errors.New("details: at most 32 attributes")
	}
	for _, list := range [][]string{a.Required, a.Preferred} {
		for _, s := range list {
			if s == "" || len(s) > skillBytes {
				return errors.New("details: a skill has 1 to 64 bytes")
			}
		}
	}
	for k, v := range a.Attributes {
		if k == "" || len(k) > skillBytes || len(v) > attributeSize {
			return errors.New("details: an attribute has a name of 1 to 64 bytes, and at most 1,024 bytes")
		}
	}
	return nil
}

// put gives a new conversation what was asked for, and shows it in its first event.
func (a *asked) put(c *conversation, e *event) {
	if a == nil {
		return
	}
	e.Priority, e.Language, e.Required, e.Preferred, e.Subject, e.Attributes = a.Priority, a.Language, a.Required, a.Preferred, a.Subject, a.Attributes
	if a.Priority != 0 || len(a.Language)+len(a.Required)+len(a.Preferred) > 0 {
		d := c.detailed()
		d.priority, d.need = uint8(a.Priority), desk.Need{Required: a.Required, Preferred: a.Preferred, Language: a.Language}
	}
}
