package routing

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/switchyard-im/switchyard/dispatch"
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
	if want := (dispatch.GroupConfig{Strategy: "weighted", Sticky: 90 * time.Minute}); got.Named["sales"] != want {
		t.Errorf("sales: %+v", got.Named["sales"])
	}
	if got.Default.Strategy != "round_robin" || len(got.Named) != 2 || got.Named["support"] != (dispatch.GroupConfig{}) {
		t.Errorf("%+v", got)
	}
	for _, text := range []string{"", "# nothing yet\n"} {
		if got, err := Load(write(t, text)); err != nil || len(got.Named) != 0 || got.Default != (dispatch.GroupConfig{}) {
			t.Errorf("%q: %+v %v", text, got, err)
		}
	}
	if _, err := Load(""); err != nil {
		t.Error(err)
	}
}

// What is wrong is said with the option and the place.
func TestBadFiles(t *testing.T) {
	for text, want := range map[string]string{
		"groups:\n  sales: {strategy: fastest}\n":          "choose least_active",
		"groups:\n  sales: {strategy: manual}\n":           "choose least_active",
		"groups:\n  sales: {stratgy: weighted}\n":          "stratgy",
		"groups:\n  sales: {sticky: 5}\n":                  "unit",
		"groups:\n  sales: {}\n  sales: {}\n":              "sales",
		"groups: [sales]\n":                                "1:",
		"group:\n":                                         "group",
		"#" + strings.Repeat("x", maxFile):                 "1 MiB",
		"default: {strategy: least_active, sticky: -1h}\n": "duration",
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
