package main

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/switchyard-im/switchyard/"

// pkg is what go list tells of a package.
type pkg struct {
	ImportPath string
	Imports    []string
	Deps       []string
}

// inside are the packages that each part may use, directly or not, besides its own. The parts not named are cmd, which may use
// all of them.
var inside = map[string][]string{
	"frame":     {},
	"netserver": {"frame"},
	"dispatch":  {"frame"},
	"sink":      {"frame"},
	"sdk":       {"frame"},
	"bench":     {"frame"},
}

// only are imports that some parts alone may have, or none, with the reason.
var only = []struct {
	path   string
	parts  []string
	reason string
}{
	{"github.com/cloudwego/netpoll", []string{"netserver"}, "descriptors and event loops have one owner"},
	{"github.com/cockroachdb/pebble/v2", []string{"sink"}, "the engine can be replaced, and only its owner may know its traps"},
	{"github.com/ClickHouse/clickhouse-go/v2", []string{"sink"}, "its traps (see sink/history) are known in one place"},
	{"github.com/wneessen/go-mail", []string{"sink"}, "what is sent and what is refused as a header is decided in one place (see sink/notify)"},
	{"github.com/golang-jwt/jwt/v5", []string{"dispatch", "bench"}, "who a client is is decided in one place; the harness only signs, as a customer's application does"},
	{"github.com/bytedance/sonic", nil, "bench/codecs, a module of its own, compares it with ours"},
	{"github.com/google/flatbuffers", nil, "bench/codecs, a module of its own, compares it with ours"},
	{"google.golang.org/protobuf", nil, "bench/codecs, a module of its own, compares it with ours"},
	{"github.com/goccy/go-yaml", []string{"cmd"}, "the parts get structs; where values come from is not theirs to know"},
}

// pure are packages that must not reach the world, with what they must not import and the reason.
var pure = []struct {
	path      string
	forbidden []string
	reason    string
}{
	{"frame", []string{"net", "os", "syscall", "log/slog"}, "it turns bytes into frames and back, and runs in every client"},
	{"dispatch/core", []string{"net", "os", "syscall", "log/slog", "sync"}, "it is a state machine: state, event and time in, effects out"},
	{"dispatch/escalate", []string{"net", "os", "syscall", "log/slog", "sync"}, "it is a state machine: state, event and time in, effects out"},
	{"dispatch/hours", []string{"net", "os", "syscall", "log/slog", "sync"}, "it computes from the time that is asked for"},
	{"dispatch/packed", []string{"net", "os", "syscall", "log/slog", "sync"}, "the state machines read their records with it"},
	{"dispatch/desk", []string{"net", "os", "syscall", "log/slog", "sync"}, "it is a state machine: state, event and time in, effects out"},
}

func list(t *testing.T) []pkg {
	t.Helper()
	cmd := exec.Command("go", "list", "-deps", "-json=ImportPath,Imports,Deps", module+"...")
	out, err := cmd.Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			t.Fatalf("go list: %v\n%s", err, exit.Stderr)
		}
		t.Fatal(err)
	}
	var ours []pkg
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p pkg
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			return ours
		} else if err != nil {
			t.Fatal(err)
		}
		if strings.HasPrefix(p.ImportPath, module) {
			ours = append(ours, p)
		}
	}
}

// part is the top-level folder of one of our packages; "" for others.
func part(path string) string {
	rest, ours := strings.CutPrefix(path, module)
	if !ours {
		return ""
	}
	name, _, _ := strings.Cut(rest, "/")
	return name
}

func TestImportsGoOneWay(t *testing.T) {
	for _, p := range list(t) {
		allowed, bounded := inside[part(p.ImportPath)]
		if !bounded {
			continue
		}
		for _, d := range p.Deps {
			if q := part(d); q != "" && q != part(p.ImportPath) && !slices.Contains(allowed, q) {
				t.Errorf("%s uses %s: %s may use only %v, since the consumer owns the interface and cmd wires", p.ImportPath, d, part(p.ImportPath), allowed)
			}
		}
	}
}

func TestImportsThatOnePartOwns(t *testing.T) {
	for _, p := range list(t) {
		for _, o := range only {
			owned := func(path string) bool { return path == o.path || strings.HasPrefix(path, o.path+"/") }
			if !slices.Contains(o.parts, part(p.ImportPath)) && slices.ContainsFunc(p.Imports, owned) {
				t.Errorf("%s imports %s, which only %v may: %s", p.ImportPath, o.path, o.parts, o.reason)
			}
		}
	}
}

func TestPurePackages(t *testing.T) {
	seen := 0
	for _, p := range list(t) {
		for _, pure := range pure {
			if p.ImportPath != module+pure.path {
				continue
			}
			seen++
			for _, f := range pure.forbidden {
				if slices.Contains(p.Imports, f) {
					t.Errorf("%s imports %s: %s", pure.path, f, pure.reason)
				}
			}
		}
	}
	if seen != len(pure) {
		t.Errorf("%d of %d pure packages exist; mend the list", seen, len(pure))
	}
}

// TestZonesAreBuiltIn: where no zones are installed, as in an empty container, they come from the binary.
func TestZonesAreBuiltIn(t *testing.T) {
	if i := slices.IndexFunc(list(t), func(p pkg) bool {
		return p.ImportPath == module+"dispatch/hours" && slices.Contains(p.Imports, "time/tzdata")
	}); i < 0 {
		t.Error("dispatch/hours does not import time/tzdata, so a schedule's zone needs the files of the system")
	}
}
