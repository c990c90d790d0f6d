package yamlfile

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestRead(t *testing.T) {
	for _, tc := range []struct {
		name, text, fails string
	}{
		{"whole", "name: desk\nkey: hush\n", ""},
		{"comments only", "# nothing yet\n", ""},
		{"empty", "", ""},
		{"unknown key", "name: desk\nkey: hush\nnmae: x\n", "nmae"},
		{"not YAML", "name: [\nkey: hush\n", "["},
		{"too long", "name: " + strings.Repeat("x", max), "longer than 1 MiB"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "f.yaml")
			if err := os.WriteFile(file, []byte(tc.text), 0o600); err != nil {
				t.Fatal(err)
			}
			var into struct{ Name, Key string }
			err := Read(file, &into)
			if tc.fails == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), tc.fails) || strings.Contains(err.Error(), "hush") {
				t.Errorf("%v", err)
			}
		})
	}
	if err := Read(filepath.Join(t.TempDir(), "none"), new(struct{})); err == nil {
		t.Error("a file that is not there was read")
	}
}
