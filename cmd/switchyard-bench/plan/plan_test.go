package plan

import (
	"reflect"
	"strings"
	"testing"
	"time"
)

const example = `# a shop
url: ws://127.0.0.1:8080/v1/ws
fail-if: [loads_talk_deliver_p99>50ms, "loads_crowd_conns<5"]
loads:
  - scenario: chat
    name: talk
    pairs: 100
    rate:
      - {at: 0s, rate: 10}
      - at: 30s
        rate: 1000.5
    burst: true
  - {scenario: idle, start: 90s}
`

func TestParse(t *testing.T) {
	f, err := Parse([]byte(example))
	if err != nil {
		t.Fatal(err)
	}
	want := &File{
		Options: []Option{{"url", []string{"ws://127.0.0.1:8080/v1/ws"}, 2}, {"fail-if", []string{"loads_talk_deliver_p99>50ms", "loads_crowd_conns<5"}, 3}},
		Loads: []Load{
			{Name: "talk", Scenario: "chat", Line: 5, Options: []Option{{"pairs", []string{"100"}, 7}, {"rate", []string{"0s:10,30s:1000.5"}, 8}, {"burst", []string{"true"}, 12}}},
			{Name: "idle", Scenario: "idle", Line: 13, Start: 90 * time.Second},
		},
	}
	if !reflect.DeepEqual(f, want) {
		t.Errorf("%+v\nwant %+v", f, want)
	}
	if args := f.Options[1].Args(); !reflect.DeepEqual(args, []string{"--fail-if=loads_talk_deliver_p99>50ms", "--fail-if=loads_crowd_conns<5"}) {
		t.Errorf("%q", args)
	}
}

func TestMistakesNameTheirLine(t *testing.T) {
	load := "loads:\n- scenario: chat\n"
	for text, want := range map[string]string{
		"":                                      "it is empty",
		"# nothing":                             "it is empty",
		"- a":                                   "line 1: ",
		"url: x":                                "it has no loads",
		"loads: chat":                           "line 1: loads is a list",
		"url: x\nloads: []":                     "it has no loads",
		"loads:\n- chat":                        "line 2: \"chat\" stands where options should",
		"loads:\n- name: a":                     "line 2: a load needs a scenario",
		"loads:\n- scenario:":                   "line 2: scenario has no value",
		load + "  name: A b":                    "line 3: the name \"A b\"",
		load + "  start: soon":                  "line 3: \"soon\" is no start",
		load + "  start: -1s":                   "is no start",
		load + "  pairs: {a: 1}":                "line 3: pairs takes one value",
		load + "  pairs: []":                    "line 3: pairs has no value",
		load + "  rate: [{at: 1s}]":             "line 3: a point of rate needs both",
		load + "  rate: [{at: 1s, x: 1}]":       "line 3: a point of rate has the keys at and rate, and not x",
		load + "  rate: [1, {at: 1s, rate: 1}]": "line 3: rate has values and points",
		load + "- scenario: chat":               "line 3: a second load with the name \"chat\"",
		load + "  pairs: 1\n  pairs: 2":         "pairs",
		load + "---\nurl: x":                    "line 4: a second document",
		"url: [x":                               "1:",
		strings.Repeat(" ", MaxBytes+1):         "longer than 1 MiB",
		"loads:" + strings.Repeat("\n- scenario: a", 101): "101 loads are too many",
	} {
		if f, err := Parse([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.60q: %+v, %v, want %q", text, f, err, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(example))
	f.Add([]byte("loads: [{scenario: chat, rate: [{at: 1s, rate: 1}]}]"))
	f.Add([]byte("a: &x 1\nloads: *x"))
	f.Fuzz(func(t *testing.T, text []byte) {
		if file, err := Parse(text); err == nil && len(file.Loads) == 0 {
			t.Error("no loads and no error")
		}
	})
}
