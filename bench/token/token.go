// Package token signs the tokens of bench's users with the server's key, as the site's own backend would. Setup only: not for hot paths.
package token

import (
	"crypto/ed25519"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// Roles of a user.
const (
	Visitor = "visitor"
	Agent   = "agent"
)

// minSecret is the least length of an HS256 secret in bytes.
const minSecret = 32

// Signer signs tokens with one key. Immutable.
type Signer struct {
	method jwt.SigningMethod
	key    any
}

// Load reads a key file: an Ed25519 private key in PEM, or a secret of at least 32 bytes as hexadecimal or base64.
func Load(path string) (*Signer, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("token: cannot read the key that the server checks tokens with (serve --dev makes DIR/token.key): %w", err)
	}
	s, err := Parse(text)
	if err != nil {
		return nil, fmt.Errorf("token: %s: %w", path, err)
	}
	return s, nil
}

// Parse reads the text of a key file.
func Parse(text []byte) (*Signer, error) {
	if block, _ := pem.Decode(text); block != nil {
		key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
		if private, ok := key.(ed25519.PrivateKey); err == nil && ok {
			return &Signer{jwt.SigningMethodEdDSA, private}, nil
		}
		return nil, fmt.Errorf("the PEM block %.40q is no Ed25519 private key", block.Type)
	}
	secret, err := decode(strings.TrimSpace(string(text)))
	if err != nil {
		return nil, err
	}
	if len(secret) < minSecret {
		return nil, fmt.Errorf("the secret has %d bytes, at least %d are needed", len(secret), minSecret)
	}
	return &Signer{jwt.SigningMethodHS256, secret}, nil
}

func decode(text string) ([]byte, error) {
	if b, err := hex.DecodeString(text); err == nil {
		return b, nil
	}
	text = strings.TrimRight(text, "=")
	for _, encoding := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
		if b, err := encoding.DecodeString(text); err == nil {
			return b, nil
		}
	}
	return nil, errors.New("the key is neither PEM, hexadecimal nor base64")
}

// Sign makes a token for a user of one group.
func (s *Signer) Sign(role, user, group string, now time.Time, lifetime time.Duration) (string, error) {
	claims := jwt.MapClaims{"sub": user, "role": role, "exp": now.Add(lifetime).Unix()}
	if group != "" {
		claims["groups"] = []string{group}
	}
	text, err := jwt.NewWithClaims(s.method, claims).SignedString(s.key)
	if err != nil {
		return "", fmt.Errorf("token: %w", err)
	}
	return text, nil
}
