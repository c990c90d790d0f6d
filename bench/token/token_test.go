package token

import (
	"crypto/ed25519"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestTokensCanBeChecked(t *testing.T) {
	secret := []byte(strings.Repeat("k", 32))
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		text string
		key  any
		alg  string
	}{
		{base64.StdEncoding.EncodeToString(secret) + "\n", secret, "HS256"},
		{base64.RawURLEncoding.EncodeToString(secret), secret, "HS256"},
		{strings.Repeat("6b", 32), secret, "HS256"},
		{string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})), public, "EdDSA"},
	} {
		path := filepath.Join(t.TempDir(), "token.key")
		if err := os.WriteFile(path, []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := Load(path)
		if err != nil {
			t.Fatal(err)
		}
		text, err := s.Sign(Agent, "anna", "sales", time.Now(), time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		claims := jwt.MapClaims{}
		if _, err := jwt.ParseWithClaims(text, claims, func(*jwt.Token) (any, error) { return c.key, nil }, jwt.WithValidMethods([]string{c.alg}), jwt.WithExpirationRequired()); err != nil {
			t.Fatal(err)
		}
		if groups, ok := claims["groups"].([]any); claims["sub"] != "anna" || claims["role"] != "agent" || !ok || len(groups) != 1 || groups[0] != "sales" {
			t.Error(claims)
		}
	}
}

func TestBadKeysAreRefused(t *testing.T) {
	for _, bad := range []string{"", "short", strings.Repeat("6b", 31), "***", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"} {
		if _, err := Parse([]byte(bad)); err == nil {
			t.Errorf("%q was accepted", bad)
		}
	}
	if _, err := Load(filepath.Join(t.TempDir(), "none")); err == nil || !strings.Contains(err.Error(), "serve --dev") {
		t.Error(err)
	}
}
