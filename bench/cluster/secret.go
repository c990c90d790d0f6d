package cluster

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"time"
)

// Secret lets a controller and its agents know each other. Immutable.
//
// Connections are TLS 1.3 with a key on both ends that is derived from the secret: who has the secret has the key, and nobody else is listened to. What goes over the
// network, the key that tokens are signed with among it, can be neither read nor changed there.
type Secret struct{ config *tls.Config }

// minSecret is the least length of a secret, in bytes: whoever reaches an agent sees its public key and could try short ones.
const minSecret = 16

var errSecret = errors.New("it has another secret: give the same file to controller and agents")

// LoadSecret reads a secret from a file, without white space around it.
func LoadSecret(path string) (*Secret, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("cluster: cannot read the secret that controller and agents share (make one with `openssl rand -hex 32`): %w", err)
	}
	s, err := NewSecret(bytes.TrimSpace(text))
	if err != nil {
		return nil, fmt.Errorf("cluster: %s: %w", path, err)
	}
	return s, nil
}

// NewSecret derives the key.
func NewSecret(secret []byte) (*Secret, error) {
	if len(secret) < minSecret {
		return nil, fmt.Errorf("the secret has %d bytes, at least %d are needed: make one with `openssl rand -hex 32`", len(secret), minSecret)
	}
	seed, err := hkdf.Key(sha256.New, secret, nil, "switchyard-bench agent", ed25519.SeedSize)
	if err != nil {
		return nil, err
	}
	key := ed25519.NewKeyFromSeed(seed)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(10 * 365 * 24 * time.Hour)}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	return &Secret{&tls.Config{
		Certificates: []tls.Certificate{{Certificate: [][]byte{cert}, PrivateKey: key}},
		MinVersion:   tls.VersionTLS13, ClientAuth: tls.RequireAnyClientCert,
		InsecureSkipVerify:     true, // no names and no authorities: VerifyConnection compares the keys
		SessionTicketsDisabled: true,
		VerifyConnection: func(state tls.ConnectionState) error {
			if peer, ok := state.PeerCertificates[0].PublicKey.(ed25519.PublicKey); !ok || !peer.Equal(key.Public()) {
				return errSecret
			}
			return nil
		},
	}}, nil
}

// dialWithin bounds connecting and the handshake.
const dialWithin = 10 * time.Second

// Dial connects to an agent. Any end of ctx after that is not the connection's.
func Dial(ctx context.Context, address string, secret *Secret) (io.ReadWriteCloser, error) {
	ctx, cancel := context.WithTimeout(ctx, dialWithin)
	defer cancel()
	var d net.Dialer
	raw, err := d.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("cluster: no agent at %s (start `switchyard-bench agent --listen ADDR --secret-file FILE` there): %w", address, err)
	}
	conn := tls.Client(raw, secret.config)
	if err := conn.HandshakeContext(ctx); err != nil {
		_ = raw.Close()
		return nil, fmt.Errorf("cluster: the agent at %s cannot be talked to: %w", address, err)
	}
	return conn, nil
}
