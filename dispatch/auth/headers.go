package auth

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"hash"
	"maps"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/golang-jwt/jwt/v5"
)

// headersKept bounds the headers that are remembered: an issuer writes one for each of its keys.
const headersKept = 2 * MaxKeys

// headers remembers what the headers of accepted tokens say, by their text. An issuer begins all its tokens with the same one, and to decode it
// anew for each is a third of what a verification allocates, in a storm of reconnects a third of the garbage. Only a token with a valid signature
// adds to it, so nobody else can fill it; when it is full further headers are decoded each time.
type headers struct {
	known atomic.Pointer[map[string]*signers] // replaced as a whole, under mu
	mu    sync.Mutex
}

// find returns nil for a header that is not known.
func (h *headers) find(header string) *signers {
	if known := h.known.Load(); known != nil {
		return (*known)[header]
	}
	return nil
}

func (h *headers) remember(header string, s *signers) {
	h.mu.Lock()
	defer h.mu.Unlock()
	grown := map[string]*signers{strings.Clone(header): s} // the token goes
	if known := h.known.Load(); known != nil {
		if len(*known) >= headersKept {
			return
		}
		maps.Copy(grown, *known)
	}
	h.known.Store(&grown)
}

// signers is what a header says: how a token is signed, and by which of our keys it may be; a check for each. Immutable.
type signers struct {
	checks []func(text string, signature []byte) bool
}

func newSigners(method jwt.SigningMethod, keys []jwt.VerificationKey) *signers {
	s := &signers{}
	for _, key := range keys {
		if secret, ok := key.([]byte); ok && method == jwt.SigningMethodHS256 {
			s.checks = append(s.checks, checkHS256(secret))
			continue
		}
		s.checks = append(s.checks, func(text string, signature []byte) bool { return method.Verify(text, signature, key) == nil })
	}
	return s
}

// mac is the state of one HMAC-SHA256 with its key, and room for what goes in and comes out.
type mac struct {
	hash      hash.Hash
	text, sum []byte
}

// checkHS256 is jwt.SigningMethodHS256.Verify without making the state anew each time, which costs 600 bytes.
func checkHS256(secret []byte) func(text string, signature []byte) bool {
	macs := &sync.Pool{New: func() any { return &mac{hash: hmac.New(sha256.New, secret)} }}
	return func(text string, signature []byte) bool {
		m := macs.Get().(*mac)
		defer macs.Put(m)
		m.hash.Reset()
		m.text = append(m.text[:0], text...) // at most MaxToken
		m.hash.Write(m.text)
		m.sum = m.hash.Sum(m.sum[:0])
		return hmac.Equal(m.sum, signature)
	}
}

// parse does what jwt.Parser.ParseWithClaims does after the header, which ends at the given index: with the same errors in the same order, so that an
// answer does not depend on what was remembered.
func (s *signers) parse(p *jwt.Parser, token string, header int, c *claims) error {
	end := strings.LastIndexByte(token, '.')
	if end <= header || strings.Count(token, ".") != 2 {
		return fmt.Errorf("%w: it has not three parts", jwt.ErrTokenMalformed)
	}
	body, err := p.DecodeSegment(token[header+1 : end])
	if err != nil {
		return fmt.Errorf("%w: %w", jwt.ErrTokenMalformed, err)
	}
	if err := json.Unmarshal(body, c); err != nil {
		return fmt.Errorf("%w: %w", jwt.ErrTokenMalformed, err)
	}
	signature, err := p.DecodeSegment(token[end+1:])
	if err != nil {
		return fmt.Errorf("%w: %w", jwt.ErrTokenMalformed, err)
	}
	for _, check := range s.checks {
		if check(token[:end], signature) {
			return nil
		}
	}
	return jwt.ErrTokenSignatureInvalid
}
