// Package apikeys reads the file of the keys with which applications use the HTTP interface. The file holds hashes only, so whoever reads it cannot use
// the keys. A Keys is immutable, and safe for concurrent use.
package apikeys

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/switchyard-im/switchyard/cmd/switchyard/yamlfile"
)

// Scope is one thing that a key may do.
type Scope string

// The scopes.
const (
	TokensCreate       Scope = "tokens:create"
	ConversationsRead  Scope = "conversations:read"
	ConversationsWrite Scope = "conversations:write"
	MessagesSend       Scope = "messages:send"
	AgentsRead         Scope = "agents:read"
	AgentsWrite        Scope = "agents:write"
	QueuesRead         Scope = "queues:read"
	ReportsRead        Scope = "reports:read"
)

// Scopes are all of them.
var Scopes = []Scope{TokensCreate, ConversationsRead, ConversationsWrite, MessagesSend, AgentsRead, AgentsWrite, QueuesRead, ReportsRead}

// Key is one application.
type Key struct {
	Name   string   `yaml:"name"`
	Hash   string   `yaml:"hash"` // SHA-256 of the secret in hexadecimal
	Scopes []Scope  `yaml:"scopes"`
	Groups []string `yaml:"groups"` // none: all
}

// May tells whether the key has a scope.
func (k *Key) May(s Scope) bool { return slices.Contains(k.Scopes, s) }

// Oversees tells whether the key is for a group.
func (k *Key) Oversees(group string) bool {
	return len(k.Groups) == 0 || slices.Contains(k.Groups, group)
}

// Keys is what the file says. The zero value has none.
type Keys struct {
	keys   []Key
	hashes [][sha256.Size]byte // of keys
}

// Bounds of the file.
const (
	maxKeys   = 256 // each costs a comparison for each request
	maxName   = 128 // a name can be a sender
	maxGroups = 64
)

// prefix begins a secret, so that it is seen for what it is, in a leak too, and is never taken for a token.
const prefix = "sk_"

// New makes a random secret and its hash.
func New() (secret, hash string) {
	random := make([]byte, 32)
	rand.Read(random) // never fails: crypto/rand ends the process instead
	secret = prefix + base64.RawURLEncoding.EncodeToString(random)
	sum := sha256.Sum256([]byte(secret))
	return secret, hex.EncodeToString(sum[:])
}

// IsSecret tells whether a bearer's credential is meant as a key, and not as a token.
func IsSecret(credential string) bool { return strings.HasPrefix(credential, prefix) }

// Find returns the key of a secret, nil if there is none. How long it takes does not depend on the secret.
func (ks *Keys) Find(secret string) *Key {
	sum := sha256.Sum256([]byte(secret))
	found := -1
	for i := range ks.hashes {
		if subtle.ConstantTimeCompare(sum[:], ks.hashes[i][:]) == 1 {
			found = i
		}
	}
	if found < 0 {
		return nil
	}
	return &ks.keys[found]
}

// Names are the names of all keys.
func (ks *Keys) Names() []string {
	var names []string
	for i := range ks.keys {
		names = append(names, ks.keys[i].Name)
	}
	return names
}

// Load reads the file; an empty name means no file, and then there are no keys.
func Load(name string) (*Keys, error) {
	if name == "" {
		return &Keys{}, nil
	}
	var file struct {
		Keys []Key `yaml:"keys"`
	}
	if err := yamlfile.Read(name, &file); err != nil {
		return nil, fmt.Errorf("api.keys: %s: %w", name, err)
	}
	ks, err := checked(file.Keys)
	if err != nil {
		return nil, fmt.Errorf("api.keys: %s: %w", name, err)
	}
	return ks, nil
}

func checked(keys []Key) (*Keys, error) {
	if len(keys) > maxKeys {
		return nil, fmt.Errorf("%d keys; there may be %d", len(keys), maxKeys)
	}
	ks := &Keys{keys: keys}
	for i := range ks.keys {
		hash, err := ks.keys[i].check()
		if err != nil {
			return nil, fmt.Errorf("key %d: %w", i+1, err)
		}
		if slices.Contains(ks.hashes, hash) || slices.Contains(ks.Names()[:i], ks.keys[i].Name) {
			return nil, fmt.Errorf("key %d: %q or its hash is there twice; each key needs its own name and secret", i+1, ks.keys[i].Name)
		}
		ks.hashes = append(ks.hashes, hash)
	}
	return ks, nil
}

func (k *Key) check() (hash [sha256.Size]byte, err error) {
	sum, err := hex.DecodeString(k.Hash)
	switch {
	case k.Name == "" || len(k.Name) > maxName || !utf8.ValidString(k.Name):
		return hash, errors.New("its name is not 1 to 128 bytes of UTF-8")
	case err != nil || len(sum) != len(hash):
		return hash, fmt.Errorf(`the hash of %q is not 64 hexadecimal digits; "switchyard apikey" prints one`, k.Name)
	case len(k.Scopes) == 0:
		return hash, fmt.Errorf("%q has no scopes, so it can do nothing; there are %v", k.Name, Scopes)
	case len(k.Groups) > maxGroups:
		return hash, fmt.Errorf("%q has more than 64 groups", k.Name)
	}
	for _, s := range k.Scopes {
		if !slices.Contains(Scopes, s) {
			return hash, fmt.Errorf("%q has the scope %q, which does not exist; there are %v", k.Name, s, Scopes)
		}
	}
	for _, g := range k.Groups {
		if g == "" || len(g) > maxName || !utf8.ValidString(g) {
			return hash, fmt.Errorf("a group of %q is not 1 to 128 bytes of UTF-8", k.Name)
		}
	}
	copy(hash[:], sum)
	return hash, nil
}

// Entry returns the lines of the file for a key.
func (k *Key) Entry() (string, error) {
	if _, err := k.check(); err != nil {
		return "", err
	}
	text, err := yaml.MarshalWithOptions(struct {
		Keys []Key `yaml:"keys"`
	}{[]Key{*k}}, yaml.IndentSequence(true))
	return string(text), err
}
