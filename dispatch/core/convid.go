package core

import (
	"crypto/sha256"

	"github.com/switchyard-im/switchyard/frame"
)

// idKey is the key of the HMAC that makes conversation ids.
const idKey = "switchyard conversation v1"

// The key's two blocks, https://www.rfc-editor.org/rfc/rfc2104#section-2.
var idInner, idOuter = idBlock(0x36), idBlock(0x5c)

func idBlock(pad byte) (b [sha256.BlockSize]byte) {
	copy(b[:], idKey)
	for i := range b {
		b[i] ^= pad
	}
	return b
}

// ConversationID derives the id of the conversation that user opens with key: the first half of HMAC-SHA256 over the user, a zero and the key, without its
// lowest bit, see frame.ID.Notes.
// The same user and key give the same conversation, so a retried open finds it; other users cannot name it, because the user comes from the token.
//
// It is made of two plain hashes on the stack: crypto/hmac allocates 1.1 KB, for each open on the loop and again in the machine.
func ConversationID(user string, key frame.ID) frame.ID {
	var buf [512]byte // beyond it the heap
	inner := append(append(append(append(buf[:0], idInner[:]...), user...), 0), key[:]...)
	sum := sha256.Sum256(inner)
	outer := append(append(buf[:0], idOuter[:]...), sum[:]...)
	sum = sha256.Sum256(outer)
	return frame.ID(sum[:len(frame.ID{})]).Host()
}
