package api

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/switchyard-im/switchyard/cmd/switchyard/apikeys"
	"github.com/switchyard-im/switchyard/dispatch/auth"
)

// A server that has public keys only signs nothing, and says what it needs.
func TestTokensNeedAKeyThatSigns(t *testing.T) {
	public, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	key, err := auth.ParseKey("k", pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
	if err != nil {
		t.Fatal(err)
	}
	verifier, err := auth.NewVerifier([]auth.Key{key}, 0)
	if err != nil {
		t.Fatal(err)
	}
	secret, hash := apikeys.New()
	entry, err := (&apikeys.Key{Name: "crm", Hash: hash, Scopes: []apikeys.Scope{apikeys.TokensCreate}}).Entry()
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "keys.yaml")
	if err := os.WriteFile(file, []byte(entry), 0o600); err != nil {
		t.Fatal(err)
	}
	keys, err := apikeys.Load(file)
	if err != nil {
		t.Fatal(err)
	}
	s, err := Start(Config{
		Listen: "127.0.0.1:0", Requests: 1, Timeout: time.Second, MaxBody: 1 << 10, Verifier: verifier, Keys: keys, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close(context.Background()) })
	r, _ := http.NewRequest(http.MethodPost, "http://"+s.Addr()+"/v1/tokens", strings.NewReader(`{"user": "ann"}`))
	r.Header.Set("Authorization", "Bearer "+secret)
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != http.StatusConflict || !strings.Contains(string(text), "auth.keys") {
		t.Errorf("%d %s, %v", answer.StatusCode, text, err)
	}
}
