package main

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/switchyard-im/switchyard/cmd/switchyard/config"
	"github.com/switchyard-im/switchyard/dispatch/auth"
	"github.com/switchyard-im/switchyard/frame"
)

func TestVerifierTakesConfiguredKeys(t *testing.T) {
	var b bytes.Buffer
	log := newLogger(&b, "info", "json", "s")
	first, second := keyFile(t), keyFile(t)
	if err := os.Chmod(second, 0o644); err != nil {
		t.Fatal(err)
	}
	cfg := config.Default()
	cfg.Auth.Keys = []string{"a=" + first, second}
	v, dev, err := newVerifier(&cfg, false, log)
	if err != nil || dev.CanSign() {
		t.Fatalf("%v; a development key: %v", err, dev.CanSign())
	}
	if strings.Count(b.String(), "readable by every user") != 1 || !strings.Contains(b.String(), "chmod 600 "+second) {
		t.Errorf("the readable key is not warned of: %s", b.String())
	}
	key, err := auth.LoadKey("a", first)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	ahead, err := devToken(key, "x", frame.RoleVisitor, now.Add(time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := v.Verify([]byte(ahead), now); err == nil {
		t.Error("a token of the future passes with the default leeway")
	}
	cfg.Auth.Leeway = config.Duration(2 * time.Minute)
	if v, _, err = newVerifier(&cfg, false, log); err != nil {
		t.Fatal(err)
	}
	if _, err := v.Verify([]byte(ahead), now); err != nil {
		t.Errorf("with a leeway of two minutes: %v", err)
	}
}

func TestAllUnreadableKeysAreNamed(t *testing.T) {
	cfg := config.Default()
	cfg.Auth.Keys = []string{"/nonexistent/1", "/nonexistent/2"}
	_, _, err := newVerifier(&cfg, false, newLogger(new(bytes.Buffer), "info", "json", "s"))
	if err == nil || !strings.Contains(err.Error(), "/nonexistent/1") || !strings.Contains(err.Error(), "/nonexistent/2") {
		t.Errorf("%v", err)
	}
}

func TestDevelopmentKeyAndTokens(t *testing.T) {
	cfg := config.Default()
	cfg.Store.Dir = filepath.Join(t.TempDir(), "data")
	log := newLogger(new(bytes.Buffer), "info", "json", "s")
	v, key, err := newVerifier(&cfg, true, log)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(filepath.Join(cfg.Store.Dir, devKeyFile)); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	var b bytes.Buffer
	if err := printDev(&b, key, "127.0.0.1:1", "127.0.0.1:2", cfg.Store.Dir, time.Now()); err != nil {
		t.Fatal(err)
	}
	tokens := regexp.MustCompile(`ey\S+\.\S+\.\S+`).FindAllString(b.String(), -1)
	if len(tokens) != 2 {
		t.Fatalf("%d tokens in %s", len(tokens), b.String())
	}
	for i, want := range []frame.Role{frame.RoleVisitor, frame.RoleAgent} {
		if id, err := v.Verify([]byte(tokens[i]), time.Now()); err != nil || id.Role != want {
			t.Errorf("%+v, %v; want %v", id, err, want)
		}
	}
	for _, want := range []string{"ws://127.0.0.1:1/v1/ws", "switchyard-bench chat", "curl -s http://127.0.0.1:2/metrics", cfg.Store.Dir + "/token.key"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("what is printed lacks %s", want)
		}
	}
}
