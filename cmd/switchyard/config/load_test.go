package config

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// file writes a configuration file that ends in s.yaml, so that its place can be looked for in errors.
func file(t testing.TB, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "s.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func load(t testing.TB, src Sources) *Loaded {
	t.Helper()
	src.Dev = true
	l, err := Load(src)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestPrecedence(t *testing.T) {
	path := file(t, "server:\n  listen: 127.0.0.1:1\n  loops: 1\n  drain_timeout: 1s\n")
	env := []string{"SWITCHYARD_SERVER_LISTEN=127.0.0.1:2", "SWITCHYARD_SERVER_LOOPS=2", "PATH=/bin"}
	flags := []Setting{{Flag: "--listen", Path: "server.listen", Text: "127.0.0.1:3"}}
	l := load(t, Sources{File: path, Env: env, Flags: flags})
	if l.Server.Listen != "127.0.0.1:3" || l.Server.Loops != 2 || l.Server.DrainTimeout != Duration(time.Second) || l.Websocket.PingAfter != Duration(30*time.Second) {
		t.Errorf("%+v, %+v", l.Server, l.Websocket)
	}
	want := map[string]Origin{
		"server.listen": "--listen", "server.loops": "SWITCHYARD_SERVER_LOOPS",
		"server.drain_timeout": Origin(path + ":4:18"), "websocket.ping_after": fromDefault,
	}
	for path, origin := range want {
		if l.Origins[path] != origin {
			t.Errorf("%s comes from %s, want %s", path, l.Origins[path], origin)
		}
	}
}

func TestLists(t *testing.T) {
	path := file(t, "auth:\n  keys: [a=one.key, two.key]\nserver:\n  allowed_origins:\n    - https://example.com\n    - '*'\n")
	l := load(t, Sources{File: path})
	if !slices.Equal(l.Auth.Keys, []string{"a=one.key", "two.key"}) || !slices.Equal(l.Server.AllowedOrigins, []string{"https://example.com", "*"}) {
		t.Errorf("%q, %q", l.Auth.Keys, l.Server.AllowedOrigins)
	}
	l = load(t, Sources{File: path, Env: []string{"SWITCHYARD_AUTH_KEYS=x.key, y.key,", "SWITCHYARD_SERVER_ALLOWED_ORIGINS="}})
	if !slices.Equal(l.Auth.Keys, []string{"x.key", "y.key"}) || len(l.Server.AllowedOrigins) != 0 {
		t.Errorf("from the environment: %q, %q", l.Auth.Keys, l.Server.AllowedOrigins)
	}
}

func TestEmptyFilesAreFine(t *testing.T) {
	for _, text := range []string{"", "\n", "# nothing\n", "server:\n", "server:\n  # nothing\n", "server: {}\n", "---\n"} {
		if got := load(t, Sources{File: file(t, text)}); got.Config.Server.Listen != Default().Server.Listen {
			t.Errorf("%q changes the default", text)
		}
	}
}

// TestProblems has one wrong file each, and all that its report must say.
func TestProblems(t *testing.T) {
	cases := []struct{ name, text, want string }{
		{"misspelt option", "server:\n  lisen: :80\n", `s.yaml:2:3: server.lisen: no option has this name; did you mean "listen"?`},
		{"swapped letters", "websocket:\n  max_mesasge: 1KiB\n", `s.yaml:2:3: websocket.max_mesasge: no option has this name; did you mean "max_message"?`},
		{"misspelt section", "sever:\n  listen: :80\n", `s.yaml:1:1: sever: no option has this name; did you mean "server"?`},
		{"option in the wrong section", "server:\n  ping_after: 1s\n", `did you mean "websocket.ping_after"?`},
		{"option at the top", "output_soft: 1s\n", `did you mean "websocket.output_soft"?`},
		{"nothing near", "server:\n  zzzzzzzzzz: 1\n", `here are allowed: id, node, listen`},
		{"a dotted name", "server.listen: :80\n", `no option has this name`},
		{"number for a duration", "websocket:\n  ping_after: 30\n", `s.yaml:2:15: websocket.ping_after: "30" is not a duration; write it with a unit`},
		{"negative duration", "websocket:\n  ping_after: -1s\n", `is not a duration`},
		{"number for a size", "websocket:\n  max_message: 65536\n", `s.yaml:2:16: websocket.max_message: "65536" is not a size`},
		{"fraction of a size", "websocket:\n  max_message: 0.5MiB\n", `is not a size`},
		{"overflowing size", "websocket:\n  max_message: 9223372036854775807TiB\n", `is not a size`},
		{"text for a number", "server:\n  loops: many\n", `s.yaml:2:10: server.loops: "many" is not a whole number`},
		{"yes for a switch", "server:\n  reuse_port: yes\n", `s.yaml:2:15: server.reuse_port: "yes" is neither true nor false`},
		{"too small", "websocket:\n  max_message: 1B\n", `"1B" is out of bounds; allowed are 1KiB to 16MiB`},
		{"too large", "server:\n  loops: 65\n", `allowed are 0 to 63`},
		{"no such choice", "log:\n  level: wran\n", `s.yaml:2:10: log.level: "wran" is not one of debug, info, warn, error; did you mean "warn"?`},
		{"no port", "server:\n  listen: localhost\n", `s.yaml:2:11: server.listen: "localhost" is not an address; write IP:PORT`},
		{"bad port", "server:\n  listen: 127.0.0.1:http\n", `has the port "http"`},
		{"a host name", "server:\n  listen: localhost:80\n", `has the host "localhost"; write an IP address`},
		{"port too large", "server:\n  listen: :65536\n", `has the port "65536"`},
		{"no value", "server:\n  listen:\n", `server.listen: has no value`},
		{"a section for a value", "server:\n  listen:\n    host: x\n", `server.listen: must be a single value (address)`},
		{"a value for a section", "server: 8080\n", `s.yaml:1:9: server: must be a section`},
		{"a list for a file", "- server\n", `must be a section`},
		{"a value for a list", "auth:\n  keys: a.key\n", `s.yaml:2:9: auth.keys: must be a list`},
		{"a list of lists", "auth:\n  keys: [[a.key]]\n", `auth.keys: must be a single value`},
		{"an alias", "server:\n  listen: &a :80\nadmin:\n  listen: *a\n", `anchors, aliases, tags and blocks are not supported`},
		{"a tag", "server:\n  listen: !!str :80\n", `not supported`},
		{"given twice", "server:\n  loops: 1\n  loops: 2\n", `s.yaml:3:3: is not YAML: `},
		{"not YAML", "server:\n\tlisten: x\n", `s.yaml:2:1: is not YAML: `},
		{"two documents", "server:\n  loops: 1\n---\nserver:\n  loops: 2\n", `has 2 documents`},
		{"a number as a name", "1: 2\n", `only plain names are allowed`},
	}
	for _, c := range cases {
		_, err := Load(Sources{File: file(t, c.text), Dev: true})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s:\n got %v\nwant %s", c.name, err, c.want)
		}
	}
}

func TestContradictions(t *testing.T) {
	cases := []struct{ name, text, want string }{
		{"ping after idle", "websocket:\n  ping_after: 90s\n", "s.yaml:2:15: websocket.ping_after: must be less than websocket.close_after (default)"},
		{"ping after idle, the other way", "websocket:\n  close_after: 20s\n", "s.yaml:2:16: websocket.ping_after: must be less than"},
		{"soft over hard", "websocket:\n  output_soft: 2MiB\n", "websocket.output_soft: must be less than websocket.output_hard"},
		{"message over output", "websocket:\n  max_message: 2MiB\n", "websocket.max_message: must be less than websocket.output_hard"},
		{"little held by many loops", "server:\n  loops: 32\nlimits:\n  held: 1MiB\n",
			"s.yaml:4:9: limits.held: leaves each of 32 loops 32KiB, too little for a message of websocket.max_message (64KiB); give at least 4MiB, or fewer server.loops"},
		{"long messages for many loops", "server:\n  loops: 63\nwebsocket:\n  max_message: 16MiB\n  output_hard: 64MiB\nconversations:\n  ring_bytes: 32MiB\n",
			"s.yaml:4:16: limits.held: leaves each of 63 loops 17043521B, too little for a message of websocket.max_message (16MiB); give at least 2016MiB"},
		{"reconnect", "reconnect:\n  min: 10s\n  max: 5s\n", "reconnect.min: must be less than reconnect.max"},
		{"one address twice", "admin:\n  listen: 127.0.0.1:8080\n", "admin.listen: is the address of server.listen too"},
		{"ring frames", "conversations:\n  ring_frames: 1000\n", "s.yaml:2:16: conversations.ring_frames: 1000 is not a power of two; write 1024"},
		{"ring bytes", "conversations:\n  ring_bytes: 100KiB\n", "100KiB is not a power of two; write 128KiB"},
		{"message over ring", "websocket:\n  max_message: 64KiB\nconversations:\n  ring_bytes: 64KiB\n", "websocket.max_message: must be less than conversations.ring_bytes"},
		{"an origin with a path", "server:\n  allowed_origins: [https://a.example/x]\n", "is not an origin"},
		{"an origin with a wildcard inside", "server:\n  allowed_origins: ['https://*.a.example', 'https://a.*.example']\n", `"https://a.*.example" is not an origin`},
		{"an origin without scheme", "server:\n  allowed_origins: [a.example]\n", "is not an origin"},
		{"a proxy protocol without proxies", "server:\n  proxy_protocol: required\n", "s.yaml:2:19: server.proxy_protocol: is required, but no proxy is named; list the addresses"},
		{"proxies without their protocol", "server:\n  proxy_networks: [10.0.0.1]\n", "s.yaml:2:19: server.proxy_networks: names proxies, but server.proxy_protocol is off; set it to required"},
		{"a burst of connections below the rate", "limits:\n  accept_rate: 100\n  accept_burst: 50\n", "limits.accept_rate: must be less than limits.accept_burst"},
		{"a burst below the rate", "limits:\n  message_rate: 100\n  message_burst: 99\n", "limits.message_rate: must be less than limits.message_burst"},
		{"a burst of bytes below the rate", "limits:\n  byte_burst: 64KiB\n", "limits.byte_rate: must be less than limits.byte_burst"},
		{"a proxy that is none", "server:\n  proxy_protocol: mixed\n  proxy_networks: [haproxy]\n", `"haproxy" is not a network`},
		{"a key without file", "auth:\n  keys: ['a=']\n", "names no file"},
	}
	for _, c := range cases {
		_, err := Load(Sources{File: file(t, c.text), Dev: true})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s:\n got %v\nwant %s", c.name, err, c.want)
		}
	}
}

func TestAllProblemsAtOnce(t *testing.T) {
	path := file(t, "server:\n  lisen: :80\n  loops: x\nwebsocket:\n  ping_after: 30\n")
	_, err := Load(Sources{
		File: path, Env: []string{"SWITCHYARD_SERVER_LOPS=1", "SWITCHYARD_LOG_LEVEL=loud"},
		Flags: []Setting{{Flag: "--set", Path: "log.levle", Text: "info"}},
	})
	var ps Problems
	if !errors.As(err, &ps) || len(ps) != 6 {
		t.Fatalf("want 6 problems:\n%v", err)
	}
	for _, want := range []string{`did you mean "SWITCHYARD_SERVER_LOOPS"?`, `SWITCHYARD_LOG_LEVEL: log.level: "loud"`, `--set: log.levle: no option has this name; did you mean "log.level"?`} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the report lacks %s:\n%v", want, err)
		}
	}
}

func TestNoDefaultKey(t *testing.T) {
	if _, err := Load(Sources{}); err == nil || !strings.Contains(err.Error(), "auth.keys: no key is configured") {
		t.Errorf("without a key: %v", err)
	}
	if _, err := Load(Sources{Dev: true}); err != nil {
		t.Errorf("in development mode: %v", err)
	}
}

func TestKubernetesVariablesAreNotOurs(t *testing.T) {
	load(t, Sources{Env: []string{"SWITCHYARD_SERVICE_HOST=10.0.0.1", "SWITCHYARD_PORT=tcp://10.0.0.1:80", "SWITCHYARD_PORT_80_TCP=x", "SWITCHYARD_CONFIG=x"}})
	for _, s := range walk(new(Config)) {
		if strings.HasPrefix(s.path, "service") || strings.HasPrefix(s.path, "port") {
			t.Errorf("the section %s has variables that are ignored", s.path)
		}
	}
}

func TestMissingFile(t *testing.T) {
	_, err := Load(Sources{File: "/nonexistent/s.yaml", Dev: true})
	if err == nil || !strings.Contains(err.Error(), "cannot be read") || !strings.Contains(err.Error(), "config default") {
		t.Errorf("%v", err)
	}
	_, err = Load(Sources{File: file(t, strings.Repeat("#\n", maxFile)), Dev: true})
	if err == nil || !strings.Contains(err.Error(), "1 MiB") {
		t.Errorf("large: %v", err)
	}
}

func FuzzLoad(f *testing.F) {
	f.Add(string(DefaultYAML()))
	f.Add("server: {listen: [a: b]}\n")
	f.Add("auth:\n  keys:\n  - a\n  - ? b\n")
	f.Add("<<: *x")
	f.Fuzz(func(t *testing.T, text string) {
		var c Config
		l := newLoader(&c)
		l.loadYAML("f", []byte(text))
		if len(l.problems) > 0 && !strings.HasPrefix(l.problems.Error(), "f") {
			t.Fatalf("a problem without a place: %v", l.problems)
		}
	})
}
