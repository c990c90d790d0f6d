package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/switchyard-im/switchyard/cmd/switchyard/config"
)

func TestWarnings(t *testing.T) {
	quiet := config.Default()
	if ws := warnings(&quiet, false); len(ws) != 0 {
		t.Errorf("the default warns: %v", ws)
	}
	cases := map[string]struct {
		change func(*config.Config)
		dev    bool
	}{
		"--dev":                 {func(*config.Config) {}, true},
		"admin.listen":          {func(c *config.Config) { c.Admin.Listen = ":8081" }, false},
		"store.durability":      {func(c *config.Config) { c.Store.Durability = "unsafe-no-fsync" }, false},
		"server.proxy_networks": {func(c *config.Config) { c.Server.ProxyNetworks = []string{"10.0.0.0/8", "::/0"} }, false},
		"server.allowed_origin": {func(c *config.Config) { c.Server.AllowedOrigins = []string{"*"} }, false},
	}
	for remedy, c := range cases {
		cfg := config.Default()
		c.change(&cfg)
		if ws := warnings(&cfg, c.dev); len(ws) != 1 || !strings.Contains(ws[0].remedy, remedy) {
			t.Errorf("%s: %v", remedy, ws)
		}
	}
}

func TestFileLimit(t *testing.T) {
	limit, err := raiseFileLimit()
	if err != nil || limit == 0 {
		t.Fatalf("%d, %v", limit, err)
	}
	if again, err := raiseFileLimit(); again != limit || err != nil {
		t.Errorf("a second time: %d, %v", again, err)
	}
	var b bytes.Buffer
	log := newLogger(&b, "info", "json", "s")
	if warnFileLimit(10_000+reservedFiles, 10_000, log); b.Len() != 0 {
		t.Errorf("enough descriptors, and yet: %s", b.String())
	}
	if warnFileLimit(1024, 10_000, log); !strings.Contains(b.String(), "LimitNOFILE=11000") || !strings.Contains(b.String(), `"connections_possible":24`) {
		t.Errorf("too few descriptors: %s", b.String())
	}
}
