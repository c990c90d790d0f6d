package canned

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func write(t *testing.T, text string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "canned.yaml")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestLoad(t *testing.T) {
	got, err := Load(write(t, `
groups:
  sales:
    - {shortcut: hi, title: Greeting, text: "Hello {{visitor}}, this is {{agent}}."}
    - {shortcut: bye, text: "Bye!\nOrder {{attributes.order_1}}"}
  empty: []
`))
	want := Replies{
		"sales": {{"hi", "Greeting", "Hello {{visitor}}, this is {{agent}}."}, {"bye", "", "Bye!\nOrder {{attributes.order_1}}"}},
		"empty": {},
	}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v %v", got, err)
	}
	for _, name := range []string{"", write(t, ""), write(t, "# nothing yet\n")} {
		if got, err := Load(name); err != nil || len(got) != 0 {
			t.Errorf("%q: %v %v", name, got, err)
		}
	}
}

// TestLoadRefuses: what is wrong is named, with the group, the reply and the option.
func TestLoadRefuses(t *testing.T) {
	one := func(reply string) string { return "groups: {g: [" + reply + "]}" }
	var many strings.Builder
	for n := range maxReplies + 1 {
		fmt.Fprintf(&many, "{shortcut: s%d, text: x},", n)
	}
	for text, want := range map[string]string{
		one(`{shortcut: "", text: x}`):                                         "the shortcut has 1 to 64 bytes",
		one(`{shortcut: "a b", text: x}`):                                      "no spaces",
		one(`{shortcut: ` + strings.Repeat("s", 65) + `, text: x}`):            "1 to 64 bytes",
		one(`{shortcut: s, text: x, title: ` + strings.Repeat("t", 257) + `}`): "at most 256 bytes",
		one(`{shortcut: s, text: " "}`):                                        "the text has 1 to 8192",
		one(`{shortcut: s, text: ` + strings.Repeat("x", 8193) + `}`):          "the text has 1 to 8192",
		one(`{shortcut: s, text: "{{visitor"}`):                                "no placeholder",
		one(`{shortcut: s, text: "{{a b}}"}`):                                  "no placeholder",
		one(`{shortcut: s, text: "{{{{visitor}}}}"}`):                          "no placeholder",
		one(`{shortcut: s, text: x}, {shortcut: s, text: y}`):                  `the shortcut "s" is there twice`,
		one(`{shortcut: s, text: x, colour: red}`):                             "colour",
		"group: {}":        "group",
		one(many.String()): "1001 replies; at most 1000",
		"groups: {g: [{shortcut: s, text: x}]}\n#" + strings.Repeat("x", 1<<20): "longer than 1 MiB",
	} {
		if _, err := Load(write(t, text)); err == nil || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), "api.canned_file: ") {
			t.Errorf("%.60s: %v, want %q", text, err, want)
		}
	}
	if _, err := Load(filepath.Join(t.TempDir(), "none")); err == nil || !strings.Contains(err.Error(), "api.canned_file: ") {
		t.Errorf("no file: %v", err)
	}
}
