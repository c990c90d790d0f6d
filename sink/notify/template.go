package notify

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strings"
	"text/template"
	"text/template/parse"
)

// maxRendered is the longest text that a template may make, in bytes.
const maxRendered = 512 << 10

// bodyTemplate makes the body of a webhook out of a notification, as an SMS or push service wants it. It is a text/template over the fields id,
// type, timestamp, conversation and data of the notification's JSON:
//
//	{"to": "{{.data.phone}}", "text": "{{.data.from}} wrote: {{.data.text}}"}
//
// What an action prints is escaped for the content type: inside a JSON string, whose quotes the template has, or inside a form value. Numbers, lists and
// objects are printed as JSON, which inside a JSON string is a text like any other. A field that is not there is an error, and so is a result that is not
// JSON, if it should be.
type bodyTemplate struct {
	template *template.Template
	kind     string
}

func newBodyTemplate(text, kind string) (*bodyTemplate, error) {
	t, err := parseTemplate(text)
	if err != nil {
		return nil, err
	}
	for _, defined := range t.Templates() {
		if defined.Tree != nil {
			escapeActions(defined.Root)
		}
	}
	return &bodyTemplate{template: t, kind: kind}, nil
}

// parseTemplate parses with strict options.
func parseTemplate(text string) (*template.Template, error) {
	t, err := template.New("template").Option("missingkey=error").Parse(text)
	if err != nil {
		return nil, fmt.Errorf("the template cannot be read: %w", err)
	}
	return t, nil
}

func (b *bodyTemplate) execute(n *Notification) ([]byte, error) {
	fields, err := fieldsOf(n)
	if err != nil {
		return nil, err
	}
	t, err := b.template.Clone()
	if err != nil {
		return nil, final("the template cannot be used: %w", err)
	}
	var out document
	t.Funcs(template.FuncMap{escaper: map[string]any{typeJSON: out.escapeJSON, typeForm: escapeForm}[b.kind]})
	if err := execute(&out, t, fields); err != nil {
		return nil, err
	}
	if b.kind == typeJSON && !json.Valid(out.Bytes()) {
		return nil, final("the template makes no JSON of this notification")
	}
	return out.Bytes(), nil
}

// fieldsOf are the fields of a notification's JSON, numbers as they are written.
func fieldsOf(n *Notification) (fields map[string]any, err error) {
	text, err := json.Marshal(n)
	if err != nil {
		return nil, final("the notification does not encode: %w", err)
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	return fields, d.Decode(&fields)
}

// render executes a template. Its failure is final, as the same data would fail again.
func render(t *template.Template, data any) ([]byte, error) {
	var out limited
	err := execute(&out, t, data)
	return out.Bytes(), err
}

func execute(out io.Writer, t *template.Template, data any) error {
	if err := t.Execute(out, data); err != nil {
		return final("the template does not fit the notification: %w", err)
	}
	return nil
}

// limited is a buffer that refuses more than maxRendered.
type limited struct{ bytes.Buffer }

func (l *limited) Write(p []byte) (int, error) {
	if l.Len()+len(p) > maxRendered {
		return 0, errors.New("the result is too long")
	}
	return l.Buffer.Write(p)
}

// escaper is the name of the function that escapes; a template cannot call it.
const escaper = "_escape"

// document is a body that is being written. It knows whether what comes next is inside a JSON string.
type document struct {
	limited
	quoted, backslash bool
}

func (d *document) Write(p []byte) (int, error) {
	for _, c := range p {
		switch {
		case d.backslash:
			d.backslash = false
		case c == '\\':
			d.backslash = d.quoted
		case c == '"':
			d.quoted = !d.quoted
		}
	}
	return d.limited.Write(p)
}

// escapeJSON is the escaper for JSON. The quotes of a list or an object inside a string would end that: who sends such a body could write fields of its own.
func (d *document) escapeJSON(value any) (string, error) {
	text, ok := value.(string)
	if !ok {
		var err error
		if text, err = asJSON(value); err != nil || !d.quoted {
			return text, err
		}
	}
	quoted, err := asJSON(text)
	return strings.TrimSuffix(strings.TrimPrefix(quoted, `"`), `"`), err
}

func escapeForm(value any) (text string, err error) {
	text, ok := value.(string)
	if !ok {
		text, err = asJSON(value)
	}
	return url.QueryEscape(text), err
}

func asJSON(value any) (string, error) {
	text, err := marshal(value)
	return string(text), err
}

// escapeActions puts the escaper behind the pipeline of each action that prints, as html/template does.
func escapeActions(node parse.Node) {
	switch n := node.(type) {
	case *parse.ListNode:
		if n == nil {
			return
		}
		for _, child := range n.Nodes {
			escapeActions(child)
		}
	case *parse.ActionNode:
		if len(n.Pipe.Decl) == 0 { // else it prints nothing
			name := parse.NewIdentifier(escaper).SetPos(n.Pos)
			n.Pipe.Cmds = append(n.Pipe.Cmds, &parse.CommandNode{NodeType: parse.NodeCommand, Pos: n.Pos, Args: []parse.Node{name}})
		}
	case *parse.IfNode:
		escapeActions(n.List)
		escapeActions(n.ElseList)
	case *parse.WithNode:
		escapeActions(n.List)
		escapeActions(n.ElseList)
	case *parse.RangeNode:
		escapeActions(n.List)
		escapeActions(n.ElseList)
	}
}
