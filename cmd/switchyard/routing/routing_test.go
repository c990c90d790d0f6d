package routing

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/switchyard-im/switchyard/dispatch"
	"github.com/switchyard-im/switchyard/dispatch/desk"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func write(t *testing.T, text string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "routing.yaml")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestLoad(t *testing.T) {
	got, err := Load(write(t, "default: {strategy: round_robin}\ngroups:\n  sales: {strategy: weighted, sticky: 1h30m}\n  support: {}\n"))
	if err != nil {
		t.Fatal(err)
	}
	if want := (dispatch.GroupConfig{Strategy: "weighted", Sticky: 90 * time.Minute}); !reflect.DeepEqual(got.Named["sales"], want) {
		t.Errorf("sales: %+v", got.Named["sales"])
	}
	if got.Default.Strategy != "round_robin" || len(got.Named) != 2 || !reflect.DeepEqual(got.Named["support"], dispatch.GroupConfig{}) {
		t.Errorf("%+v", got)
	}
	for _, text := range []string{"", "# nothing yet\n"} {
		if got, err := Load(write(t, text)); err != nil || len(got.Named) != 0 || !reflect.DeepEqual(got.Default, dispatch.GroupConfig{}) {
			t.Errorf("%q: %+v %v", text, got, err)
		}
	}
	if _, err := Load(""); err != nil {
		t.Error(err)
	}
}

// Each key of the file arrives.
func TestEveryKey(t *testing.T) {
	got, err := Load(write(t, `
offline_grace: 2m
default: {reopen: 24h}
groups:
  sales:
    strategy: manual
    max_queue: 100
    fallback: night
    age: 2m
    sticky: 3h
    avoid: 4m
    require_language: true
    first_reply: {warn: 30s, after: 60s, then: requeue}
    idle_agent: {warn: 31s, after: 61s, then: close}
    idle_visitor: {warn: 32s, after: 62s, then: close}
    reopen: 5h
    hours: "Mo-Fr 09:00-18:00; zone Europe/Berlin"
    outside: queue
    texts: {queue_full: later, out_of_hours: tomorrow}
  night: {}
`))
	if err != nil {
		t.Fatal(err)
	}
	sales := got.Named["sales"]
	if sales.Hours == nil || !strings.Contains(sales.Hours.String(), "Mo-Fr 09:00-18:00") {
		t.Errorf("hours: %v", sales.Hours)
	}
	sales.Hours = nil
	timer := func(after time.Duration, then desk.Action) dispatch.Timer {
		return dispatch.Timer{Warn: after - 30*time.Second, After: after, Then: then}
	}
	want := dispatch.GroupConfig{
		Strategy: desk.Manual, MaxQueue: 100, Fallback: "night", Age: 2 * time.Minute, Sticky: 3 * time.Hour, Avoid: 4 * time.Minute, RequireLanguage: true,
		FirstReply: timer(60*time.Second, desk.Requeue), IdleAgent: timer(61*time.Second, desk.CloseQuietly), IdleVisitor: timer(62*time.Second, desk.CloseQuietly),
		Reopen: 5 * time.Hour, Outside: desk.OutsideQueue, Texts: map[desk.Reason]string{desk.QueueFull: "later", desk.OutOfHours: "tomorrow"},
	}
	if !reflect.DeepEqual(sales, want) {
		t.Errorf("got %+v\nwant %+v", sales, want)
	}
	for i, v := 0, reflect.ValueOf(want); i < v.NumField(); i++ {
		if name := v.Type().Field(i).Name; v.Field(i).IsZero() && name != "Hours" {
			t.Errorf("%s is not tested", name)
		}
	}
	var c dispatch.Config
	if got.Put(&c); c.OfflineGrace != 2*time.Minute || c.DefaultGroup.Reopen != 24*time.Hour || len(c.Groups) != 2 {
		t.Errorf("%+v", c)
	}
}

// What is wrong is said with the option and the place.
func TestBadFiles(t *testing.T) {
	for text, want := range map[string]string{
		"groups:\n  sales: {strategy: fastest}\n":                                       "choose least_active",
		"groups:\n  sales: {fallback: nite, max_queue: 1}\n":                            `"nite" is not among the groups`,
		"groups:\n  sales: {fallback: nite}\n  nite: {}\n":                              "never used",
		"groups:\n  a: {fallback: b, max_queue: 1}\n  b: {fallback: a, max_queue: 1}\n": "circle",
		"groups:\n  sales: {hours: Mo 9-18}\n":                                          "group sales: hours: ",
		"groups:\n  sales: {outside: queue}\n":                                          "no hours",
		"groups:\n  sales: {outside: open, hours: 'Mo 09:00-18:00; zone UTC'}\n":        "choose refuse, fallback or queue",
		"groups:\n  sales: {outside: fallback, hours: 'Mo 09:00-18:00; zone UTC'}\n":    "no fallback",
		"groups:\n  sales: {texts: {closed: x}}\n":                                      `"closed"`,
		"groups:\n  sales: {texts: {queue_full: " + strings.Repeat("x", 1001) + "}}\n":  "1001 bytes",
		"groups:\n  sales: {first_reply: {after: 1500ms}}\n":                            "whole seconds",
		"groups:\n  sales: {first_reply: {warn: 2s, after: 1s}}\n":                      "would come after",
		"groups:\n  sales: {idle_agent: {after: 1s, then: shout}}\n":                    "choose requeue or close",
		"groups:\n  sales: {max_queue: -1}\n":                                           "negative",
		"groups:\n  sales: {stratgy: weighted}\n":                                       "stratgy",
		"groups:\n  sales: {sticky: 5}\n":                                               "unit",
		"groups:\n  sales: {}\n  sales: {}\n":                                           "sales",
		"groups: [sales]\n":                                                             "1:",
		"group:\n":                                                                      "group",
		"#" + strings.Repeat("x", 1<<20):                                                "1 MiB",
		"default: {strategy: least_active, sticky: -1h}\n":                              "duration",
	} {
		_, err := Load(write(t, text))
		if err == nil || !strings.HasPrefix(err.Error(), "routing.file: ") || !strings.Contains(err.Error(), want) {
			t.Errorf("%.60q: got %v, want %q", text, err, want)
		}
	}
	if _, err := Load(filepath.Join(t.TempDir(), "none")); err == nil || !strings.Contains(err.Error(), "routing.file") {
		t.Errorf("no file: %v", err)
	}
}
