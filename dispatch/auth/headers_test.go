package auth

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"reflect"
	"testing"
)

// TestKnownHeadersChangeNothing: a verifier that knows the header answers every token, however damaged, as one that does not.
func TestKnownHeadersChangeNothing(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	key, _ := GenerateKey("k")
	good := []byte(must(key.Sign(ann(), now)))
	knows := verifier(t, key)
	if _, err := knows.Verify(good, now); err != nil || knows.headers.find(string(good[:bytes.IndexByte(good, '.')])) == nil {
		t.Fatalf("the header is not remembered: %v", err)
	}
	same := func(token []byte) {
		t.Helper()
		want, wantErr := verifier(t, key).Verify(token, now)
		got, err := knows.Verify(token, now)
		if fmt.Sprint(err) != fmt.Sprint(wantErr) || !reflect.DeepEqual(got, want) {
			t.Fatalf("%s: %+v, %v; without the header %+v, %v", token, got, err, want, wantErr)
		}
	}
	same(good)
	secret := key.verify.([]byte)
	header := `{"alg":"HS256","kid":"k","typ":"JWT"}`
	for _, claims := range []string{"", "null", "[]", "{", `{"sub":1}`, payload(t, "exp", `"x"`), payload(t, "exp", `"1893456000"`), `{"sub":"a","sub":"b","role":"agent","exp":1893456000}`} {
		token := []byte(raw(header, claims, secret))
		same(token)
		same(append(token, '.'))
		token[len(token)-1] ^= 1
		same(token)
	}
	for i := range good {
		same(good[:i])
		changed := bytes.Clone(good)
		changed[i] = "A.-_=~ "[r.IntN(7)]
		same(changed)
		same(append(good[:i:i], good[r.IntN(len(good)):]...))
	}
}

// TestOnlyAcceptedHeadersAreRemembered: what a stranger sends leaves nothing behind, and what an issuer sends is bounded.
func TestOnlyAcceptedHeadersAreRemembered(t *testing.T) {
	key, _ := GenerateKey("")
	stranger, _ := GenerateKey("")
	v := verifier(t, key)
	claims := payload(t, "sub", `"ann"`)
	for n := range 3 * headersKept {
		header := fmt.Sprintf(`{"alg":"HS256","n":%d}`, n)
		if _, err := v.Verify([]byte(raw(header, claims, stranger.verify.([]byte))), now); err == nil {
			t.Fatal("a stranger's token was accepted")
		}
		if n == 0 && v.headers.known.Load() != nil {
			t.Fatal("a stranger's header is remembered")
		}
		if _, err := v.Verify([]byte(raw(header, claims, key.verify.([]byte))), now); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(*v.headers.known.Load()); n != headersKept {
		t.Errorf("%d headers are remembered, want %d", n, headersKept)
	}
}

func BenchmarkVerify(b *testing.B) {
	key, _ := GenerateKey("")
	v := verifier(b, key)
	token := []byte(must(key.Sign(ann(), now)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := v.Verify(token, now); err != nil {
			b.Fatal(err)
		}
	}
}

// TestKnownHeaderOfEachKind: with several keys and both algorithms, also the second token of an issuer is accepted, and a forged one refused.
func TestKnownHeaderOfEachKind(t *testing.T) {
	one, _ := GenerateKey("")
	two, _ := GenerateKey("")
	private, public := ed25519Key(t, "")
	v := verifier(t, one, two, public)
	for range 2 {
		for _, key := range []Key{one, two, private} {
			token := []byte(must(key.Sign(ann(), now)))
			if _, err := v.Verify(token, now); err != nil {
				t.Errorf("%s: %v", key.Algorithm(), err)
			}
			token[len(token)-10] ^= 1
			if _, err := v.Verify(token, now); err == nil {
				t.Errorf("%s: a forged token was accepted", key.Algorithm())
			}
		}
	}
}
