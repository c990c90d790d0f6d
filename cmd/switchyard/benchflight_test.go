package main

import (
	"strings"
	"testing"

	"github.com/switchyard-im/switchyard/bench/observe"
	benchflight "github.com/switchyard-im/switchyard/bench/preflight"
	"github.com/switchyard-im/switchyard/bench/token"
	"github.com/switchyard-im/switchyard/frame"
)

// TestPreflightOfALoad: what the harness looks at before a load, as the server itself answers it.
func TestPreflightOfALoad(t *testing.T) {
	i, api := startWithAPI(t)
	other, err := token.Parse([]byte(strings.Repeat("5a", 32)))
	if err != nil {
		t.Fatal(err)
	}
	fine := benchflight.Config{URL: "ws://" + i.listen + "/v1/ws", Protocol: "switchyard.v1.msgpack", Key: i.signer(), Server: observe.New(0, i.admin), History: api}
	for want, change := range map[string]func(*benchflight.Config){
		"":                            func(*benchflight.Config) {},
		"is --key the file":           func(c *benchflight.Config) { c.Key, c.History = other, "" },
		"a server of another version": func(c *benchflight.Config) { c.Protocol = "switchyard.v9.msgpack" },
		"is the path of --url right":  func(c *benchflight.Config) { c.URL = "ws://" + i.listen + "/v1/w" },
		"its admin address":           func(c *benchflight.Config) { c.Server = observe.New(0, api) },
		"which is off by default":     func(c *benchflight.Config) { c.History = i.admin },
		"the address of api.listen":   func(c *benchflight.Config) { c.History = "http://" + i.listen },
	} {
		cfg := fine
		change(&cfg)
		err := benchflight.Check(t.Context(), cfg)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want an error with %q", err, want)
		}
	}

	i, _ = startWithAPI(t, "--set", "server.max_connections=1")
	i.dial(t.Context(), "ann", frame.RoleVisitor)
	fine.URL = "ws://" + i.listen + "/v1/ws"
	if err := benchflight.Check(t.Context(), fine); err == nil || !strings.Contains(err.Error(), "503") || !strings.Contains(err.Error(), "the server turns connections away") {
		t.Error(err)
	}
}
