package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/switchyard-im/switchyard/cmd/switchyard/config"
	"github.com/switchyard-im/switchyard/dispatch/auth"
	"github.com/switchyard-im/switchyard/frame"
)

// command runs one in this process.
func command(env []string, args ...string) (status int, stdout, stderr string) {
	var out, errOut bytes.Buffer
	status = run(args, environment{env: env, stdout: &out, stderr: &errOut})
	return status, out.String(), errOut.String()
}

func write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func keyFile(t *testing.T) string {
	_, text := auth.GenerateKey("")
	return write(t, "token.key", string(text))
}

func TestUsageErrors(t *testing.T) {
	key := keyFile(t)
	cases := map[string]struct {
		args []string
		says string
	}{
		"no such command": {[]string{"sreve"}, "sreve"},
		"no such flag":    {[]string{"serve", "--prot", "1"}, "--prot"},
		"no such role":    {[]string{"token", "--key", key, "--sub", "x", "--role", "root"}, "--role"},
		"no key":          {[]string{"token", "--sub", "x", "--role", "agent"}, "--key"},
		"a bad address":   {[]string{"echo", "--listen", "localhost"}, "IP:PORT"},
		"a bad size":      {[]string{"echo", "--max-message", "64"}, "64KiB"},
		"set w/o value":   {[]string{"serve", "--set", "server.loops"}, "PATH=VALUE"},
		"set w/o option":  {[]string{"serve", "--dev", "--set", "server.lops=1"}, "did you mean \"server.loops\""},
		"serve w/o key":   {[]string{"serve"}, "no key is configured"},
	}
	for name, c := range cases {
		status, _, stderr := command(nil, c.args...)
		if status != exitUsage || !strings.Contains(stderr, c.says) {
			t.Errorf("%s: status %d, %q; want status 2 and %q", name, status, stderr, c.says)
		}
	}
}

func TestVersion(t *testing.T) {
	if status, out, _ := command(nil, "version"); status != 0 || !strings.HasPrefix(out, "switchyard "+version+" go") {
		t.Errorf("%d %q", status, out)
	}
}

func TestToken(t *testing.T) {
	key := keyFile(t)
	status, out, stderr := command(nil, "token", "--key", key, "--kid", "k1", "--role", "agent", "--sub", "bob", "--groups", "sales,support", "--name", "Bob", "--capacity", "3", "--weight", "2", "--skills", "tax,law", "--languages", "de", "--ttl", "1h")
	if status != 0 || stderr != "" {
		t.Fatalf("%d %q", status, stderr)
	}
	loaded, err := auth.LoadKey("k1", key)
	if err != nil {
		t.Fatal(err)
	}
	v, err := auth.NewVerifier([]auth.Key{loaded}, 0)
	if err != nil {
		t.Fatal(err)
	}
	id, err := v.Verify([]byte(strings.TrimSpace(out)), time.Now())
	if err != nil || id.User != "bob" || id.Role != frame.RoleAgent || len(id.Groups) != 2 || id.Capacity != 3 || id.Weight != 2 || len(id.Skills) != 2 || len(id.Languages) != 1 || id.Name != "Bob" {
		t.Errorf("%+v, %v", id, err)
	}
	if left := time.Until(id.Expires); left > time.Hour || left < 59*time.Minute {
		t.Errorf("it ends in %v, want 1h", left)
	}
	if status, _, stderr := command(nil, "token", "--key", key+"x", "--role", "agent", "--sub", "bob"); status != exitFailed || !strings.Contains(stderr, "no such file") {
		t.Errorf("a missing key: %d %q", status, stderr)
	}
}

func TestConfigCommands(t *testing.T) {
	_, text, _ := command(nil, "config", "default")
	file, key := write(t, "s.yaml", text), keyFile(t)
	status, out, stderr := command([]string{"SWITCHYARD_AUTH_KEYS=" + key, "SWITCHYARD_CONFIG=" + file}, "config", "check", "--listen", ":9", "--set", "log.level=debug")
	if status != 0 {
		t.Fatalf("%d %s", status, stderr)
	}
	for _, want := range []string{`listen: :9 # --listen`, `level: debug # --set`, `keys: ["` + key + `"] # SWITCHYARD_AUTH_KEYS`, "# " + file + ":"} {
		if !strings.Contains(out, want) {
			t.Errorf("the effective configuration lacks %q:\n%s", want, out)
		}
	}
	if status, _, stderr := command([]string{"SWITCHYARD_AUTH_KEYS=/nonexistent.key"}, "config", "check"); status == 0 || !strings.Contains(stderr, "/nonexistent.key") {
		t.Errorf("a missing key passes the check: %d %q", status, stderr)
	}
	bad := write(t, "bad.yaml", "server:\n  lisen: :1\n  loops: x\n")
	if status, _, stderr := command(nil, "config", "check", "--dev", "--config", bad); status != exitUsage || strings.Count(stderr, "bad.yaml:") != 2 {
		t.Errorf("two problems: %d %s", status, stderr)
	}
	if _, out, _ := command(nil, "config", "docs"); out != string(config.DocsMarkdown()) {
		t.Error("config docs prints something else")
	}
}
