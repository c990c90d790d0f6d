package core

import (
	"crypto/hmac"
	"crypto/sha256"
	"strings"
	"testing"

	"github.com/switchyard-im/switchyard/frame"
)

// TestConversationID: the ids are those of crypto/hmac but for the bit that makes notes of them, and making one allocates nothing.
func TestConversationID(t *testing.T) {
	for n := range 600 {
		user, key := strings.Repeat("u", n), frame.ID{byte(n), 1, 2, 3}
		h := hmac.New(sha256.New, []byte(idKey))
		h.Write([]byte(user))
		h.Write([]byte{0})
		h.Write(key[:])
		want := frame.ID(h.Sum(nil)[:16])
		want[15] &= 0xfe
		if id := ConversationID(user, key); id != want || id.AreNotes() || id.Notes().Host() != id || !id.Notes().AreNotes() {
			t.Fatalf("name of %d bytes: %s, want %s", n, id, want)
		}
	}
	if n := testing.AllocsPerRun(100, func() { ConversationID("visitor-4711", frame.ID{1}) }); n != 0 {
		t.Errorf("an id takes %v allocations", n)
	}
}
