// Package canned reads the file with the canned replies of each group: texts that agents send often, under a shortcut. The server keeps them and gives them
// out over HTTP; what stands for {{visitor}} and the like is put in by the agent's client, which knows it.
package canned

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"unicode"

	"github.com/switchyard-im/switchyard/cmd/switchyard/yamlfile"
)

// The bounds of the file.
const (
	maxReplies  = 1000 // of a group
	maxShortcut = 64   // bytes
	maxTitle    = 256
	maxText     = 8 << 10
)

// Reply is one canned reply. Text may have placeholders like {{visitor}}.
type Reply struct {
	Shortcut string `yaml:"shortcut" json:"shortcut"` // without spaces; the only one of its name in the group
	Title    string `yaml:"title" json:"title"`       // may be empty
	Text     string `yaml:"text" json:"text"`
}

// Replies are those of each group, in the order of the file.
type Replies map[string][]Reply

// Load reads the file; an empty name means no file, and then nobody has any.
func Load(name string) (Replies, error) {
	if name == "" {
		return nil, nil
	}
	var f struct {
		Groups Replies `yaml:"groups"`
	}
	err := yamlfile.Read(name, &f)
	if err == nil {
		err = f.Groups.check()
	}
	if err != nil {
		return nil, fmt.Errorf("api.canned_file: %s: %w", name, err)
	}
	return f.Groups, nil
}

func (rs Replies) check() error {
	for group, list := range rs {
		if len(list) > maxReplies {
			return fmt.Errorf("group %s: %d replies; at most %d", group, len(list), maxReplies)
		}
		seen := make(map[string]bool, len(list))
		for i := range list {
			if err := list[i].check(); err != nil {
				return fmt.Errorf("group %s: reply %d (%q): %w", group, i+1, list[i].Shortcut, err)
			}
			if seen[list[i].Shortcut] {
				return fmt.Errorf("group %s: the shortcut %q is there twice; give one of them another", group, list[i].Shortcut)
			}
			seen[list[i].Shortcut] = true
		}
	}
	return nil
}

func (r *Reply) check() error {
	switch {
	case r.Shortcut == "" || len(r.Shortcut) > maxShortcut || strings.ContainsFunc(r.Shortcut, unicode.IsSpace):
		return fmt.Errorf("the shortcut has 1 to %d bytes and no spaces", maxShortcut)
	case len(r.Title) > maxTitle:
		return fmt.Errorf("the title has at most %d bytes", maxTitle)
	case strings.TrimSpace(r.Text) == "" || len(r.Text) > maxText:
		return fmt.Errorf("the text has 1 to %d bytes", maxText)
	}
	if rest := placeholder.ReplaceAllString(r.Text, ""); strings.Contains(rest, "{{") || strings.Contains(rest, "}}") {
		return errors.New("the text has {{ or }} that make no placeholder; one is a name of small letters, digits, _ and dots between them, like {{visitor}}")
	}
	return nil
}

var placeholder = regexp.MustCompile(`\{\{[a-z][a-z0-9_.]*\}\}`)
