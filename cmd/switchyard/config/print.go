package config

import (
	"bytes"
	"fmt"
	"reflect"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml"
)

// width is where comments are wrapped.
const width = 110

// DefaultYAML is a complete configuration file with every option at its default, commented.
func DefaultYAML() []byte {
	var c Config
	l := newLoader(&c)
	var b bytes.Buffer
	b.WriteString("# The configuration of Switchyard. Every value below is the default; keep only the lines that you change.\n")
	l.print(&b, func(b *bytes.Buffer, o *option, indent string) {
		comment(b, indent, o.doc+" "+o.allowed())
	}, func(*option) string { return "" })
	return b.Bytes()
}

// YAML is the effective configuration with the origin of each value.
func (l *Loaded) YAML() []byte {
	var b bytes.Buffer
	printer := &loader{sections: walk(&l.Config)}
	printer.print(&b, nil, func(o *option) string { return " # " + string(l.Origins[o.path]) })
	return b.Bytes()
}

func (l *loader) print(b *bytes.Buffer, before func(*bytes.Buffer, *option, string), after func(*option) string) {
	for _, s := range l.sections[1:] { // the first is the file itself
		depth := strings.Count(s.path, ".")
		indent := strings.Repeat("  ", depth)
		if before != nil {
			b.WriteString("\n")
			comment(b, indent, s.doc)
		}
		fmt.Fprintf(b, "%s%s:\n", indent, s.path[strings.LastIndexByte(s.path, '.')+1:])
		for _, o := range s.options {
			if before != nil {
				before(b, o, indent+"  ")
			}
			fmt.Fprintf(b, "%s  %s: %s%s\n", indent, o.name(), o.yaml(), after(o))
		}
	}
}

// yaml spells the value so that it reads back as itself: quoted where a plain word would mean something else.
func (o *option) yaml() string {
	list, ok := o.value.Interface().([]string)
	if !ok {
		return scalarYAML(o.text())
	}
	quoted := make([]string, len(list))
	for i, e := range list {
		quoted[i] = strconv.Quote(e)
	}
	return "[" + strings.Join(quoted, ", ") + "]"
}

func scalarYAML(text string) string {
	var back any
	err := yaml.Unmarshal([]byte("v: "+text+" # c"), &back)
	if m, ok := back.(map[string]any); err == nil && ok && fmt.Sprint(m["v"]) == text {
		return text
	}
	return strconv.Quote(text)
}

// allowed says in a sentence what the option takes.
func (o *option) allowed() string {
	switch {
	case len(o.oneOf) > 0:
		return "One of " + strings.Join(o.oneOf, ", ") + "."
	case o.min != "":
		return "From " + o.min + " to " + o.max + "."
	case o.value.Kind() == reflect.Bool:
		return "true or false."
	default:
		return ""
	}
}

func comment(b *bytes.Buffer, indent, text string) {
	line := indent + "#"
	for word := range strings.FieldsSeq(text) {
		if len(line)+1+len(word) > width {
			b.WriteString(line + "\n")
			line = indent + "#"
		}
		line += " " + word
	}
	b.WriteString(line + "\n")
}
