package config

import (
	"errors"
	"fmt"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// loadYAML walks the file's syntax tree instead of decoding it, because only the tree knows the line of each value and lets
// one pass find every problem.
func (l *loader) loadYAML(file string, data []byte) {
	tree, err := parser.ParseBytes(data, 0)
	if err != nil {
		l.problems = append(l.problems, syntaxError(file, err))
		return
	}
	y := yamlWalk{loader: l, file: file}
	if len(tree.Docs) > 1 {
		l.problems.add(Origin(file), "", "has %d documents; put everything into one, without a line ---", len(tree.Docs))
		return
	}
	for _, doc := range tree.Docs {
		if doc.Body != nil {
			y.section("", doc.Body)
		}
	}
}

func syntaxError(file string, err error) Problem {
	var at yaml.Error
	if errors.As(err, &at) && at.GetToken() != nil {
		return Problem{Origin: origin(file, at.GetToken()), Text: "is not YAML: " + at.GetMessage()}
	}
	return Problem{Origin: Origin(file), Text: "is not YAML: " + err.Error()}
}

func origin(file string, t *token.Token) Origin {
	return Origin(fmt.Sprintf("%s:%d:%d", file, t.Position.Line, t.Position.Column))
}

// yamlWalk goes through one file.
type yamlWalk struct {
	*loader
	file string
}

func (y *yamlWalk) at(n ast.Node) Origin { return origin(y.file, n.GetToken()) }

func (y *yamlWalk) section(path string, n ast.Node) {
	switch n := n.(type) {
	case *ast.MappingNode:
		for _, entry := range n.Values {
			y.entry(path, entry)
		}
	case *ast.NullNode, *ast.CommentGroupNode: // an empty section, or a file of comments
	default:
		y.problems.add(y.at(n), path, "must be a section with options under it, each on a line of its own, like \"name: value\"")
	}
}

func (y *yamlWalk) entry(parent string, entry *ast.MappingValueNode) {
	key, ok := entry.Key.(*ast.StringNode)
	if !ok {
		y.problems.add(y.at(entry.Key), parent, "only plain names are allowed as keys, not %s", entry.Key.String())
		return
	}
	path := strings.TrimPrefix(parent+"."+key.Value, ".")
	if o := y.options[path]; o != nil && !strings.Contains(key.Value, ".") {
		y.value(o, entry.Value)
		return
	}
	if y.isSection(path) {
		y.section(path, entry.Value)
		return
	}
	y.problems.add(y.at(key), path, "no option has this name%s", y.suggest(parent, key.Value))
}

func (y *yamlWalk) isSection(path string) bool {
	for _, s := range y.sections {
		if s.path == path {
			return true
		}
	}
	return false
}

// suggest offers the nearest name of the same section, or the section that has an option of just this name.
func (y *yamlWalk) suggest(parent, name string) string {
	var siblings []string
	for _, s := range y.sections {
		siblings = appendChild(siblings, parent, s.path)
		for _, o := range s.options {
			siblings = appendChild(siblings, parent, o.path)
		}
	}
	if s := didYouMean(name, siblings); s != "" {
		return s
	}
	for path, o := range y.options {
		if o.name() == name {
			return fmt.Sprintf("; did you mean %q?", path)
		}
	}
	return "; here are allowed: " + strings.Join(siblings, ", ")
}

// appendChild appends the last part of path if it is directly under parent.
func appendChild(names []string, parent, path string) []string {
	rest := path
	if parent != "" {
		var under bool
		if rest, under = strings.CutPrefix(path, parent+"."); !under {
			return names
		}
	}
	if rest == "" || strings.Contains(rest, ".") {
		return names
	}
	return append(names, rest)
}

func (y *yamlWalk) value(o *option, n ast.Node) {
	if o.isList() {
		y.list(o, n)
		return
	}
	if text, ok := y.scalar(o, n); ok {
		y.set(o, y.at(n), text)
	}
}

func (y *yamlWalk) list(o *option, n ast.Node) {
	seq, ok := n.(*ast.SequenceNode)
	if !ok {
		y.problems.add(y.at(n), o.path, "must be a list, like [first, second], even of one element")
		return
	}
	texts := make([]string, 0, len(seq.Values))
	for _, element := range seq.Values {
		text, ok := y.scalar(o, element)
		if !ok {
			return
		}
		texts = append(texts, text)
	}
	if len(texts) == 0 {
		o.set()
		o.origin = y.at(n)
		return
	}
	y.set(o, y.at(n), texts...)
}

// scalar returns the text of a plain value as it is written, so that the option's type alone decides what it means.
func (y *yamlWalk) scalar(o *option, n ast.Node) (string, bool) {
	switch n := n.(type) {
	case *ast.StringNode:
		return n.Value, true
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode:
		return n.GetToken().Value, true
	case *ast.NullNode:
		y.problems.add(y.at(n), o.path, "has no value; give it one or remove the line for the default (%s)", o.orNone())
	case *ast.AnchorNode, *ast.AliasNode, *ast.TagNode, *ast.LiteralNode:
		y.problems.add(y.at(n), o.path, "anchors, aliases, tags and blocks are not supported; write the value itself")
	default:
		y.problems.add(y.at(n), o.path, "must be a single value (%s)", o.kind())
	}
	return "", false
}

func (o *option) orNone() string {
	if o.def == "" {
		return "none"
	}
	return o.def
}
