package main

import (
	"bytes"
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"
)

func TestLogger(t *testing.T) {
	var b bytes.Buffer
	log := newLogger(&b, "warn", "auto", "srv-1")
	log.Info("quiet")
	log.Warn("loud", "trace_id", "s1", "took", 1500*time.Millisecond)
	var line map[string]any
	if err := json.Unmarshal(b.Bytes(), &line); err != nil {
		t.Fatalf("not one line of JSON: %v\n%s", err, b.String())
	}
	want := map[string]any{"msg": "loud", "level": "WARN", "service_name": "switchyard", "version": version, "server_id": "srv-1", "trace_id": "s1", "took": "1.5s"}
	for name, value := range want {
		if line[name] != value {
			t.Errorf("%s is %v, want %v", name, line[name], value)
		}
	}
	b.Reset()
	newLogger(&b, "debug", "text", "srv-1").Debug("shown")
	if !strings.Contains(b.String(), "msg=shown service_name=switchyard") {
		t.Errorf("text: %s", b.String())
	}
}

func TestIsTerminal(t *testing.T) {
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	if isTerminal(null) || isTerminal(new(bytes.Buffer)) {
		t.Error("/dev/null or a buffer counts as a terminal")
	}
}
