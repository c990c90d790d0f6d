package auth

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
)

const (
	algHS256 = "HS256"
	algEdDSA = "EdDSA"
)

// minSecret is the least length of an HS256 secret in bytes: that of the hash (RFC 7518, section 3.2).
const minSecret = 32

const keyRemedy = `make one with "openssl rand -hex 32" (HS256) or "openssl genpkey -algorithm ed25519" (EdDSA)`

// ErrCannotSign is what Sign returns for a public key.
var ErrCannotSign = errors.New("auth: a public key can check tokens but not sign them; use the private key")

// Key is one HS256 secret, or an Ed25519 key of which at least the public half is known. Immutable.
type Key struct {
	id     string
	alg    string
	verify any // []byte or ed25519.PublicKey
	sign   any // []byte, ed25519.PrivateKey, or nil
}

// ID is the key id (kid) or empty.
func (k Key) ID() string { return k.id }

// Algorithm is HS256 or EdDSA.
func (k Key) Algorithm() string { return k.alg }

// CanSign tells whether the private half is known.
func (k Key) CanSign() bool { return k.sign != nil }

// GenerateKey makes a random HS256 secret and the text of its file.
func GenerateKey(id string) (Key, []byte) {
	secret := make([]byte, minSecret)
	rand.Read(secret) // never fails: crypto/rand ends the process instead
	return secretKey(id, secret), []byte(hex.EncodeToString(secret) + "\n")
}

// ParseKey reads the text of a key file: a PEM block with an Ed25519 public or private key, or an HS256 secret of at least
// 32 bytes as hexadecimal or base64 (either alphabet, padded or not). Text of hexadecimal digits alone is read as such.
func ParseKey(id string, text []byte) (Key, error) {
	if len(id) > MaxName {
		return Key{}, fmt.Errorf("auth: the key id has %d bytes; at most %d are allowed", len(id), MaxName)
	}
	if block, _ := pem.Decode(text); block != nil {
		return parsePEM(id, block)
	}
	secret, err := decodeSecret(strings.TrimSpace(string(text)))
	if err != nil {
		return Key{}, err
	}
	if len(secret) < minSecret {
		return Key{}, fmt.Errorf("auth: the secret has %d bytes, HS256 needs at least %d; %s", len(secret), minSecret, keyRemedy)
	}
	return secretKey(id, secret), nil
}

func secretKey(id string, secret []byte) Key {
	return Key{id: id, alg: algHS256, verify: secret, sign: secret}
}

func parsePEM(id string, block *pem.Block) (Key, error) {
	switch block.Type {
	case "PRIVATE KEY":
		parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
		if private, ok := parsed.(ed25519.PrivateKey); err == nil && ok {
			return Key{id: id, alg: algEdDSA, verify: private.Public(), sign: private}, nil
		}
	case "PUBLIC KEY":
		parsed, err := x509.ParsePKIXPublicKey(block.Bytes)
		if public, ok := parsed.(ed25519.PublicKey); err == nil && ok {
			return Key{id: id, alg: algEdDSA, verify: public}, nil
		}
	}
	return Key{}, fmt.Errorf("auth: the PEM block %.40q is not an unencrypted Ed25519 key; %s", block.Type, keyRemedy)
}

func decodeSecret(text string) ([]byte, error) {
	if text == "" {
		return nil, fmt.Errorf("auth: the key is empty; %s", keyRemedy)
	}
	if b, err := hex.DecodeString(text); err == nil {
		return b, nil
	}
	text = strings.TrimRight(text, "=")
	for _, encoding := range []*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
		if b, err := encoding.DecodeString(text); err == nil {
			return b, nil
		}
	}
	return nil, fmt.Errorf("auth: the key is neither PEM, hexadecimal nor base64; %s", keyRemedy)
}
