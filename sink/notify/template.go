package notify

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
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
// objects are printed as JSON. A field that is not there is an error, and so is a result that is not JSON, if it should be.
type bodyTemplate struct {
	template *template.Template
	kind     string
}

func newBodyTemplate(text, kind string) (*bodyTemplate, error) {
	t, err := parseTemplate(text, template.FuncMap{escaper: escape[kind]})
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
func parseTemplate(text string, functions template.FuncMap) (*template.Template, error) {
	t, err := template.New("template").Option("missingkey=error").Funcs(functions).Parse(text)
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
	text, err := render(b.template, fields)
	if err != nil {
		return nil, err
	}
	if b.kind == typeJSON && !json.Valid(text) {
		return nil, final("the template makes no JSON of this notification")
	}
	return text, nil
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
	if err := t.Execute(&out, data); err != nil {
		return nil, final("the template does not fit the notification: %w", err)
	}
	return out.Bytes(), nil
}

// limited is a buffer that refuses more than maxRendered.
type limited struct{ bytes.Buffer }

func (l *limited) Write(p []byte) (int, error) {
	if l.Len()+len(p) > maxRendered {
		return 0, errors.New("the result is too long")
	}
	return l.Buffer.Write(p)
}

// escaper is the name of the function that escapes. A template that calls it escapes twice.
const escaper = "_escape"

// escape is that function, by content type.
var escape = map[string]any{
	typeJSON: func(value any) (string, error) {
		text, ok := value.(string)
		if !ok {
			return asJSON(value)
		}
		quoted, err := asJSON(text)
		return strings.TrimSuffix(strings.TrimPrefix(quoted, `"`), `"`), err
	},
	typeForm: func(value any) (string, error) {
		text, ok := value.(string)
		var err error
		if !ok {
			text, err = asJSON(value)
		}
		return url.QueryEscape(text), err
	},
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
