package auth

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestParseSecretSpellings(t *testing.T) {
	secret := bytes.Repeat([]byte{0xfb, 0xef, 0x01, 0x02}, 8)
	for _, text := range []string{
		hex.EncodeToString(secret),
		strings.ToUpper(hex.EncodeToString(secret)) + "\n",
		base64.StdEncoding.EncodeToString(secret),
		base64.URLEncoding.EncodeToString(secret),
		"  " + base64.RawURLEncoding.EncodeToString(secret) + "\r\n",
	} {
		k, err := ParseKey("", []byte(text))
		if err != nil {
			t.Errorf("%q: %v", text, err)
		} else if !bytes.Equal(k.sign.([]byte), secret) || k.Algorithm() != "HS256" {
			t.Errorf("%q: read as %x", text, k.sign)
		}
	}
}

func TestParseKeyRefuses(t *testing.T) {
	ec := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	der := must(x509.MarshalPKCS8PrivateKey(ec))
	cases := map[string]struct{ text, says string }{
		"empty":            {" \n", "empty"},
		"a password":       {"correct horse battery staple!", "neither PEM, hexadecimal nor base64"},
		"short":            {strings.Repeat("ab", 31), "31 bytes"},
		"short base64":     {"c2VjcmV0", "6 bytes"},
		"an EC key":        {string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})), "Ed25519"},
		"a broken PEM":     {string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: []byte("x")})), "Ed25519"},
		"an encrypted PEM": {string(pem.EncodeToMemory(&pem.Block{Type: "ENCRYPTED PRIVATE KEY", Bytes: der})), "unencrypted"},
	}
	for name, c := range cases {
		_, err := ParseKey("", []byte(c.text))
		if err == nil || !strings.Contains(err.Error(), c.says) || !strings.Contains(err.Error(), "openssl") {
			t.Errorf("%s: %v; want %q and a remedy", name, err, c.says)
		}
	}
}

func TestPublicKeyCannotSign(t *testing.T) {
	_, public := ed25519Key(t, "")
	if _, err := public.Sign(ann(), now); !errors.Is(err, ErrCannotSign) {
		t.Errorf("%v, want ErrCannotSign", err)
	}
}

func TestSignRefusesWhatVerifyWould(t *testing.T) {
	key, _ := GenerateKey("")
	for name, change := range map[string]func(*Identity){
		"no user":       func(id *Identity) { id.User = "" },
		"no role":       func(id *Identity) { id.Role = 0 },
		"bad role":      func(id *Identity) { id.Role = 9 },
		"empty group":   func(id *Identity) { id.Groups = []string{""} },
		"empty skill":   func(id *Identity) { id.Skills = []string{""} },
		"long language": func(id *Identity) { id.Languages = []string{strings.Repeat("x", MaxSkill+1)} },
		"many skills":   func(id *Identity) { id.Skills = slices.Repeat([]string{"x"}, MaxSkills+1) },
		"expired":       func(id *Identity) { id.Expires = now },
		"no end":        func(id *Identity) { id.Expires = time.Time{} },
	} {
		id := ann()
		change(&id)
		if _, err := key.Sign(id, now); err == nil {
			t.Errorf("%s: signed", name)
		}
	}
}

func TestLoadOrCreateKey(t *testing.T) {
	path := filepath.Join(t.TempDir(), "token.key")
	first, created, err := LoadOrCreateKey("", path)
	if err != nil || !created {
		t.Fatalf("created %v, %v", created, err)
	}
	second, created, err := LoadOrCreateKey("", path)
	if err != nil || created {
		t.Fatalf("again: created %v, %v", created, err)
	}
	if _, err := verifier(t, second).Verify([]byte(must(first.Sign(ann(), now))), now); err != nil {
		t.Errorf("the key changed: %v", err)
	}
	if mode := must(os.Stat(path)).Mode().Perm(); mode != 0o600 {
		t.Errorf("mode %v, want 0600", mode)
	}
	if ReadableByOthers(path) {
		t.Error("0600 counts as readable by others")
	}
	if os.Chmod(path, 0o644); !ReadableByOthers(path) {
		t.Error("0644 does not count as readable by others")
	}
}

func TestManyCreateOneKey(t *testing.T) {
	path := filepath.Join(t.TempDir(), "token.key")
	keys := make([]Key, 8)
	var wg sync.WaitGroup
	for i := range keys {
		wg.Go(func() { keys[i], _, _ = LoadOrCreateKey("", path) })
	}
	wg.Wait()
	for i, k := range keys {
		if !bytes.Equal(k.sign.([]byte), keys[0].sign.([]byte)) {
			t.Errorf("key %d differs from key 0", i)
		}
	}
	if left := must(os.ReadDir(filepath.Dir(path))); len(left) != 1 {
		t.Errorf("temporary files are left: %v", left)
	}
}

func TestLoadKeyErrorsNameTheFile(t *testing.T) {
	dir := t.TempDir()
	if _, err := LoadKey("", filepath.Join(dir, "none")); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "none") {
		t.Errorf("missing: %v", err)
	}
	big := filepath.Join(dir, "big")
	if err := os.WriteFile(big, make([]byte, maxKeyFile+1), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadKey("", big); err == nil || !strings.Contains(err.Error(), "16 KiB") {
		t.Errorf("big: %v", err)
	}
	if _, _, err := LoadOrCreateKey("", filepath.Join(dir, "no", "dir")); err == nil {
		t.Error("made a key in a directory that is not there")
	}
}
