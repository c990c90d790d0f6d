package config

import (
	"bytes"
	"flag"
	"os"
	"reflect"
	"strings"
	"testing"
)

const docsFile = "../../../docs/configuration.md"

var write = flag.Bool("write", false, "write docs/configuration.md anew instead of comparing")

func TestDefaultYAMLReadsBackAsTheDefault(t *testing.T) {
	text := DefaultYAML()
	l := load(t, Sources{File: file(t, string(text))})
	if want := Default(); !reflect.DeepEqual(normal(l.Config), normal(want)) {
		t.Errorf("got %+v\nwant %+v", l.Config, want)
	}
	for path, origin := range l.Origins {
		if origin == fromDefault {
			t.Errorf("%s is not in the printed file", path)
		}
	}
	for line := range strings.SplitSeq(string(text), "\n") {
		if len(line) > width+10 {
			t.Errorf("a line of %d columns: %s", len(line), line)
		}
	}
}

// normal makes nil and empty lists equal.
func normal(c Config) map[string]string {
	m := map[string]string{}
	for _, o := range options(&c) {
		m[o.path] = o.text()
	}
	return m
}

func TestEffectiveYAMLReadsBack(t *testing.T) {
	l := load(t, Sources{Env: []string{
		`SWITCHYARD_SERVER_ID=yes: # "no"`, "SWITCHYARD_SERVER_LISTEN=[::1]:80", "SWITCHYARD_AUTH_KEYS=a=b.key,null", "SWITCHYARD_STORE_DIR=0x10", "SWITCHYARD_WEBSOCKET_MAX_MESSAGE=1500B",
	}})
	again := load(t, Sources{File: file(t, string(l.YAML()))})
	if got, want := normal(again.Config), normal(l.Config); !reflect.DeepEqual(got, want) {
		t.Errorf("printed:\n%s\ngot  %v\nwant %v", l.YAML(), got, want)
	}
	if !bytes.Contains(l.YAML(), []byte("SWITCHYARD_SERVER_ID\n")) {
		t.Errorf("the origin is not shown:\n%s", l.YAML())
	}
}

func TestDocsAreCurrent(t *testing.T) {
	want := DocsMarkdown()
	if *write {
		if err := os.WriteFile(docsFile, want, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(docsFile)
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("docs/configuration.md is out of date (%v); run make generate", err)
	}
}

// TestEveryOptionIsDocumented also reads each default, bound and choice, which panic if they are wrong.
func TestEveryOptionIsDocumented(t *testing.T) {
	c := Default()
	seen := map[string]bool{}
	for _, o := range options(&c) {
		if len(o.doc) < 10 || !strings.HasSuffix(o.doc, ".") {
			t.Errorf("%s has the documentation %q; write a sentence", o.path, o.doc)
		}
		if seen[o.env()] {
			t.Errorf("two options have the variable %s", o.env())
		}
		seen[o.env()] = true
		if k := o.kind(); k != "text" && k != "list" && k != "address" && k != "switch" && o.min == "" {
			t.Errorf("%s has no bounds", o.path)
		}
	}
}
