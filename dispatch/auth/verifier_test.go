package auth

import (
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/switchyard-im/switchyard/frame"
)

var now = time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)

func ann() Identity {
	return Identity{User: "ann", Name: "Ann É", Role: frame.RoleAgent, Groups: []string{"sales", "support"}, Capacity: 4, Weight: 3, Skills: []string{"tax", "law"}, Languages: []string{"de"}, Expires: now.Add(time.Hour)}
}

func ed25519Key(t testing.TB, id string) (private, public Key) {
	t.Helper()
	pub, priv, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return parsePEMKey(t, id, "PRIVATE KEY", must(x509.MarshalPKCS8PrivateKey(priv))), parsePEMKey(t, id, "PUBLIC KEY", must(x509.MarshalPKIXPublicKey(pub)))
}

func parsePEMKey(t testing.TB, id, kind string, der []byte) Key {
	t.Helper()
	k, err := ParseKey(id, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func verifier(t testing.TB, keys ...Key) *Verifier {
	t.Helper()
	v, err := NewVerifier(keys, 0)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// raw signs any header and payload with HS256, as a careless or hostile issuer might.
func raw(header, payload string, secret []byte) string {
	enc := base64.RawURLEncoding
	text := enc.EncodeToString([]byte(header)) + "." + enc.EncodeToString([]byte(payload))
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte(text))
	return text + "." + enc.EncodeToString(mac.Sum(nil))
}

func TestSignedTokensAreAccepted(t *testing.T) {
	secret, _ := GenerateKey("")
	named, _ := GenerateKey("2026")
	private, public := ed25519Key(t, "ed")
	cases := map[string]struct{ sign, check Key }{
		"HS256":             {secret, secret},
		"HS256 with kid":    {named, named},
		"EdDSA, public key": {private, public},
		"EdDSA, private":    {private, private},
	}
	for name, c := range cases {
		token := must(c.sign.Sign(ann(), now))
		got, err := verifier(t, c.check).Verify([]byte(token), now)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		want := ann()
		if !got.Expires.Equal(want.Expires) {
			t.Errorf("%s: expires %v, want %v", name, got.Expires, want.Expires)
		}
		got.Expires = want.Expires
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v, want %+v", name, got, want)
		}
	}
}

func TestExpiry(t *testing.T) {
	key, _ := GenerateKey("")
	v := verifier(t, key)
	token := []byte(must(key.Sign(ann(), now)))
	if _, err := v.Verify(token, now.Add(time.Hour-time.Second)); err != nil {
		t.Errorf("a second before the end: %v", err)
	}
	for _, late := range []time.Duration{time.Hour, 2 * time.Hour} {
		_, err := v.Verify(token, now.Add(late))
		if !errors.Is(err, ErrExpired) || errors.Is(err, ErrInvalid) {
			t.Errorf("after %v: %v, want ErrExpired", late, err)
		}
	}
}

const hs256Header = `{"alg":"HS256","typ":"JWT"}`

// payload returns good claims with one of them replaced; "" removes it.
func payload(t testing.TB, claim, value string) string {
	t.Helper()
	m := map[string]json.RawMessage{
		"sub": json.RawMessage(`"ann"`), "role": json.RawMessage(`"visitor"`), "exp": json.RawMessage(`1893456000`),
	}
	if m[claim] = json.RawMessage(value); value == "" {
		delete(m, claim)
	}
	b, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestBadClaimsAreInvalid(t *testing.T) {
	key, _ := GenerateKey("")
	v := verifier(t, key)
	long := strings.Repeat("x", 129)
	groups := strings.Repeat(`"g",`, 64) + `"g"`
	cases := []struct{ claim, value, reason string }{
		{"sub", ``, "sub"},
		{"sub", `""`, "sub"},
		{"sub", `"` + long + `"`, "sub"},
		{"sub", `7`, "claims"},
		{"role", ``, "role"},
		{"role", `"root"`, "role"},
		{"role", `"Visitor"`, "role"},
		{"role", `["visitor"]`, "claims"},
		{"name", `"` + long + `"`, "name"},
		{"groups", `["` + long + `"]`, "groups"},
		{"groups", `[""]`, "groups"},
		{"groups", `[` + groups + `]`, "groups"},
		{"groups", `"sales"`, "claims"},
		{"capacity", `-1`, "capacity"},
		{"capacity", `10001`, "capacity"},
		{"capacity", `1.5`, "claims"},
		{"weight", `-1`, "weight"},
		{"weight", `101`, "weight"},
		{"exp", ``, "exp is missing"},
		{"exp", `null`, "exp is missing"},
		{"exp", `"soon"`, "claims"},
		{"exp", `1e300`, "exp is not a time"},
		{"exp", `-1`, "exp is not a time"},
		{"exp", `253402300800`, "exp is not a time"},
		{"nbf", `1890000000`, "nbf"},
		{"iat", `1890000000`, "iat"},
	}
	for _, c := range cases {
		token := raw(hs256Header, payload(t, c.claim, c.value), key.sign.([]byte))
		_, err := v.Verify([]byte(token), now)
		checkInvalid(t, c.claim+"="+c.value, token, err, c.reason)
	}
	good := raw(hs256Header, payload(t, "name", `"n"`), key.sign.([]byte))
	if _, err := v.Verify([]byte(good), now); err != nil {
		t.Errorf("the unchanged payload is refused: %v", err)
	}
}

func checkInvalid(t *testing.T, name, token string, err error, reason string) {
	t.Helper()
	var typed *Error
	if !errors.Is(err, ErrInvalid) || !errors.As(err, &typed) {
		t.Errorf("%s: %v, want ErrInvalid", name, err)
		return
	}
	if !strings.Contains(err.Error(), reason) {
		t.Errorf("%s: %q does not say %q", name, err, reason)
	}
	for part := range strings.SplitSeq(token, ".") {
		if len(part) > 8 && strings.Contains(err.Error(), part) {
			t.Errorf("%s: the error quotes the token: %q", name, err)
		}
	}
}

func TestForgedAndGarbledTokensAreInvalid(t *testing.T) {
	key, _ := GenerateKey("a")
	other, _ := GenerateKey("a")
	private, public := ed25519Key(t, "ed")
	stranger, _ := ed25519Key(t, "ed")
	publicPEM := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: must(x509.MarshalPKIXPublicKey(public.verify))})
	v := verifier(t, key, public)
	good := must(key.Sign(ann(), now))
	body := payload(t, "name", `"n"`)
	unsigned := raw(`{"alg":"none"}`, body, nil)
	cases := map[string]struct{ token, reason string }{
		"empty":                           {"", "empty"},
		"garbage":                         {"garbage", "JSON Web Token"},
		"two dots only":                   {"..", "JSON Web Token"},
		"four parts":                      {good + ".x", "JSON Web Token"},
		"too long":                        {strings.Repeat("a", MaxToken+1), "8 KiB"},
		"not base64":                      {"$$$" + good, "JSON Web Token"},
		"not JSON":                        {raw("{", body, key.sign.([]byte)), "JSON Web Token"},
		"alg none, signed with nothing":   {unsigned, "another key or algorithm"},
		"alg none, no signature":          {unsigned[:strings.LastIndexByte(unsigned, '.')+1], "another key or algorithm"},
		"alg NONE":                        {raw(`{"alg":"NONE"}`, body, nil), "unknown"},
		"no alg":                          {raw(`{}`, body, key.sign.([]byte)), "unknown"},
		"alg HS512":                       {raw(`{"alg":"HS512"}`, body, key.sign.([]byte)), "another key or algorithm"},
		"RS256":                           {raw(`{"alg":"RS256"}`, body, key.sign.([]byte)), "another key or algorithm"},
		"public key as secret, DER":       {raw(`{"alg":"HS256","kid":"ed"}`, body, public.verify.(ed25519.PublicKey)), "kid"},
		"public key as secret, no kid":    {raw(`{"alg":"HS256"}`, body, public.verify.(ed25519.PublicKey)), "another key"},
		"public key as secret, PEM":       {raw(`{"alg":"HS256"}`, body, publicPEM), "another key"},
		"another secret":                  {must(other.Sign(ann(), now)), "another key"},
		"another Ed25519 key":             {must(stranger.Sign(ann(), now)), "another key"},
		"unknown kid":                     {raw(`{"alg":"HS256","kid":"zzz"}`, body, key.sign.([]byte)), "kid"},
		"critical extension":              {raw(`{"alg":"HS256","crit":["b64"]}`, body, key.sign.([]byte)), "crit"},
		"a bit of the payload flipped":    {flip(good, strings.IndexByte(good, '.')+5), ""},
		"a bit of the signature flipped":  {flip(good, len(good)-10), "another key"},
		"truncated":                       {good[:len(good)-4], ""},
		"signature of a different token":  {swapSignature(good, must(key.Sign(Identity{User: "eve", Role: frame.RoleVisitor, Expires: now.Add(time.Hour)}, now))), "another key"},
		"EdDSA signature over HS256 head": {swapSignature(good, must(private.Sign(ann(), now))), "another key"},
	}
	for name, c := range cases {
		_, err := v.Verify([]byte(c.token), now)
		checkInvalid(t, name, c.token, err, c.reason)
	}
}

func flip(token string, at int) string {
	b := []byte(token)
	if b[at] == 'A' {
		b[at] = 'B'
	} else {
		b[at] = 'A'
	}
	return string(b)
}

func swapSignature(token, from string) string {
	return token[:strings.LastIndexByte(token, '.')] + from[strings.LastIndexByte(from, '.'):]
}

func TestLeewayForgivesAnIssuerAhead(t *testing.T) {
	key, _ := GenerateKey("")
	id := ann()
	token := []byte(must(key.Sign(id, now.Add(30*time.Second))))
	if _, err := verifier(t, key).Verify(token, now); !errors.Is(err, ErrInvalid) {
		t.Errorf("30 s ahead with the default leeway: %v, want ErrInvalid", err)
	}
	if _, err := must(NewVerifier([]Key{key}, time.Minute)).Verify(token, now); err != nil {
		t.Errorf("30 s ahead with a leeway of 1 m: %v", err)
	}
}

func TestRotation(t *testing.T) {
	old, _ := GenerateKey("2025")
	next, _ := GenerateKey("2026")
	unnamed, _ := GenerateKey("")
	both := verifier(t, old, next, unnamed)
	for _, k := range []Key{old, next, unnamed} {
		if _, err := both.Verify([]byte(must(k.Sign(ann(), now))), now); err != nil {
			t.Errorf("key %q: %v", k.ID(), err)
		}
	}
	withoutID := Key{alg: old.alg, verify: old.verify, sign: old.sign}
	if _, err := both.Verify([]byte(must(withoutID.Sign(ann(), now))), now); err != nil {
		t.Errorf("a token without kid: %v", err)
	}
	if _, err := verifier(t, next).Verify([]byte(must(old.Sign(ann(), now))), now); !errors.Is(err, ErrInvalid) {
		t.Errorf("a retired key: %v, want ErrInvalid", err)
	}
}

func TestNewVerifierRefuses(t *testing.T) {
	a, _ := GenerateKey("a")
	b, _ := GenerateKey("a")
	for name, keys := range map[string][]Key{"none": nil, "same id": {a, b}, "zero": {{}}, "too many": make([]Key, MaxKeys+1)} {
		if _, err := NewVerifier(keys, 0); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func FuzzVerify(f *testing.F) {
	key, _ := ParseKey("a", []byte(strings.Repeat("0f", 32)))
	_, public := ed25519Key(f, "ed")
	v := verifier(f, key, public)
	f.Add([]byte(must(key.Sign(ann(), now))))
	f.Add([]byte(raw(`{"alg":"none"}`, `{"sub":"a","role":"agent","exp":1893456000}`, nil)))
	f.Add([]byte(raw(hs256Header, `{"exp":1e300}`, key.sign.([]byte))))
	f.Fuzz(func(t *testing.T, token []byte) {
		id, err := v.Verify(token, now)
		if err == nil {
			if id.check() != nil || !id.Expires.After(now) {
				t.Fatalf("accepted %+v", id)
			}
			return
		}
		if !errors.Is(err, ErrInvalid) && !errors.Is(err, ErrExpired) {
			t.Fatalf("an error of neither kind: %v", err)
		}
	})
}

// FuzzClaims signs what the fuzzer writes, so that it reaches the checks behind the signature.
func FuzzClaims(f *testing.F) {
	key, _ := ParseKey("", []byte(strings.Repeat("0f", 32)))
	v := verifier(f, key)
	f.Add(hs256Header, `{"sub":"a","role":"agent","exp":1893456000,"groups":["x"]}`)
	f.Add(hs256Header, `{"sub":"a","role":"agent","exp":1e300}`)
	f.Add(`{"alg":"HS256","kid":1}`, `null`)
	f.Fuzz(func(t *testing.T, header, body string) {
		id, err := v.Verify([]byte(raw(header, body, key.sign.([]byte))), now)
		if err == nil && (id.check() != nil || id.Role.String() == "" || !id.Expires.After(now)) {
			t.Fatalf("accepted %+v from %s", id, body)
		}
	})
}
