package apikeys

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func load(t *testing.T, text string) (*Keys, error) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "keys.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return Load(file)
}

// A key that New makes is found by its secret, from the entry that it prints, and by nothing else.
func TestKeysAreFound(t *testing.T) {
	secret, hash := New()
	k := Key{Name: "crm", Hash: hash, Scopes: []Scope{MessagesSend}, Groups: []string{"support"}}
	entry, err := k.Entry()
	if err != nil || strings.Contains(entry, secret) {
		t.Fatalf("%v %s", err, entry)
	}
	other, _ := New()
	ks, err := load(t, entry)
	if err != nil {
		t.Fatal(err)
	}
	got := ks.Find(secret)
	if got == nil || got.Name != "crm" || !got.May(MessagesSend) || got.May(TokensCreate) || !got.Oversees("support") || got.Oversees("sales") {
		t.Errorf("found %+v", got)
	}
	for _, wrong := range []string{"", "sk_", other, secret + "x", secret[:len(secret)-1], hash} {
		if ks.Find(wrong) != nil {
			t.Errorf("%q is taken", wrong)
		}
	}
	if none, err := Load(""); err != nil || none.Find(secret) != nil {
		t.Errorf("without a file: %v", err)
	}
	if !IsSecret(secret) || IsSecret("eyJ.a.b") {
		t.Error("keys and tokens are taken for each other")
	}
}

func TestKeysAreChecked(t *testing.T) {
	_, hash := New()
	_, second := New()
	ok := "{name: a, hash: " + hash + ", scopes: ['messages:send']}"
	for _, tc := range []struct{ name, text, remedy string }{
		{"an unknown field", "keys:\n  - {name: a, secret: x}\n", "secret"},
		{"no name", "keys:\n  - {hash: " + hash + ", scopes: ['messages:send']}\n", "its name is not 1 to 128"},
		{"no hash", "keys:\n  - {name: a, scopes: ['messages:send']}\n", "switchyard apikey"},
		{"a short hash", "keys:\n  - {name: a, hash: abcd, scopes: ['messages:send']}\n", "64 hexadecimal"},
		{"no scopes", "keys:\n  - {name: a, hash: " + hash + "}\n", "there are [tokens:create"},
		{"another scope", "keys:\n  - {name: a, hash: " + hash + ", scopes: [all]}\n", "does not exist"},
		{"one name", "keys:\n  - " + ok + "\n  - {name: a, hash: " + second + ", scopes: ['messages:send']}\n", "twice"},
		{"one secret", "keys:\n  - " + ok + "\n  - {name: b, hash: " + hash + ", scopes: ['messages:send']}\n", "twice"},
		{"an empty group", "keys:\n  - {name: a, hash: " + hash + ", scopes: ['messages:send'], groups: [\"\"]}\n", "a group of"},
	} {
		if _, err := load(t, tc.text); err == nil || !strings.Contains(err.Error(), tc.remedy) {
			t.Errorf("%s: %v", tc.name, err)
		}
	}
	if _, err := Load(filepath.Join(t.TempDir(), "none")); err == nil {
		t.Error("a file that is not there is taken")
	}
	if ks, err := load(t, "# nothing\n"); err != nil || len(ks.Names()) != 0 {
		t.Errorf("comments alone: %v", err)
	}
}
