package sink

import (
	"encoding/binary"

	"github.com/switchyard-im/switchyard/frame"
)

// The first byte of each key; the package comment has the layouts.
const (
	keyMessages = 'm'
	keyState    = 's'
	keyOpen     = 'o'
	keyMember   = 'u'
	keyOutbox   = 'x'
	keyAging    = 'y'
	keyNotice   = 'w'
	keyMemo     = 'k'
	keyRecord   = 'z'

	keyEscalation = 'e'
)

// The single records, named by the second byte of their keys.
var (
	recordSource  = []byte{keyRecord, 's'}
	recordFrozen  = []byte{keyRecord, 'f'}
	recordShipped = []byte{keyRecord, 'c'}
	recordPruned  = []byte{keyRecord, 'p'}

	recordNoted    = []byte{keyRecord, 'n'}
	recordBackfill = []byte{keyRecord, 'b'}
	recordSkipped  = []byte{keyRecord, 'l'}
)

const (
	convKeyLen     = 1 + len(frame.ID{})
	messagesKeyLen = convKeyLen + 8
	entryKeyLen    = 1 + 8
)

// maxUserLen is the longest user name a member key can hold.
const maxUserLen = 1<<16 - 1

// The longest key and value of a memo.
const (
	maxMemoKey   = 512
	maxMemoValue = 1 << 10
)

// appendConvKey appends the state or open key of a conversation, or the prefix of its messages.
func appendConvKey(dst []byte, kind byte, conv frame.ID) []byte {
	var key [convKeyLen]byte
	key[0] = kind
	copy(key[1:], conv[:])
	return append(dst, key[:]...) // in one piece, so that nil grows once
}

func appendMessagesKey(dst []byte, conv frame.ID, last uint64) []byte {
	return binary.BigEndian.AppendUint64(appendConvKey(dst, keyMessages, conv), last)
}

// appendEntryKey appends the key of an entry that commit number wrote.
func appendEntryKey(dst []byte, kind byte, number uint64) []byte {
	return binary.BigEndian.AppendUint64(append(dst, kind), number)
}

// lastOf returns the last sequence of a record, from its key.
func lastOf(key []byte) uint64 { return binary.BigEndian.Uint64(key[convKeyLen:]) }

// appendMemberPrefix appends what all member keys of a user begin with. A user has at most maxUserLen bytes.
func appendMemberPrefix(dst []byte, user string) []byte {
	dst = append(dst, keyMember)
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(user)))
	return append(dst, user...)
}

// appendEscalationKey appends the key of what is known of the messages that a user has not acked.
func appendEscalationKey(dst []byte, conv frame.ID, user string) []byte {
	return append(appendConvKey(dst, keyEscalation, conv), user...)
}

// appendSuccessor appends the smallest key that is greater than all keys with this prefix. A prefix begins with a key kind, so
// it is never all 0xff.
func appendSuccessor(dst, prefix []byte) []byte {
	n := len(prefix)
	for prefix[n-1] == 0xff {
		n--
	}
	dst = append(dst, prefix[:n]...)
	dst[len(dst)-1]++
	return dst
}
