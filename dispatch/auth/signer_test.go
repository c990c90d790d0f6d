package auth

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"testing"
	"time"

	"github.com/switchyard-im/switchyard/frame"
)

// TestSigner: of several keys the first that can sign does, and the same verifier takes what it signed. A public key cannot.
func TestSigner(t *testing.T) {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	parse := func(id, kind string, der []byte, err error) Key {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		key, err := ParseKey(id, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
		if err != nil {
			t.Fatal(err)
		}
		return key
	}
	der, err := x509.MarshalPKIXPublicKey(public)
	verifies := parse("public", "PUBLIC KEY", der, err)
	der, err = x509.MarshalPKCS8PrivateKey(private)
	signs := parse("private", "PRIVATE KEY", der, err)
	secret, _ := GenerateKey("secret")

	now := time.Now()
	for want, keys := range map[string][]Key{"private": {verifies, signs, secret}, "secret": {verifies, secret, signs}, "": {verifies}} {
		v, err := NewVerifier(keys, 0)
		if err != nil {
			t.Fatal(err)
		}
		key, ok := v.Signer()
		if ok != (want != "") || key.ID() != want {
			t.Errorf("%q signs, not %q", key.ID(), want)
		}
		if !ok {
			continue
		}
		token, err := key.Sign(Identity{User: "ann", Role: frame.RoleVisitor, Expires: now.Add(time.Hour)}, now)
		if err != nil {
			t.Fatal(err)
		}
		if id, err := v.Verify([]byte(token), now); err != nil || id.User != "ann" {
			t.Errorf("%s: %+v, %v", want, id, err)
		}
	}
}
