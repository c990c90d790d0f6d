package oracle

import (
	"encoding/binary"
	"hash/crc32"

	"github.com/switchyard-im/switchyard/frame"
)

// Sizes of a body in bytes, without its msgpack header.
const (
	MinBody = 32
	MaxBody = 60_000 // within the default limit of a message, with room for the frame around it
)

// Tag says which message of a run a body is.
type Tag struct {
	Run       uint32
	Pair      uint32
	Direction Direction
	Index     uint64 // counts the messages of one direction of one pair from 0; below 1<<56
	Due       int64  // when it was to be sent, nanoseconds of the run's clock
}

// ID is the client message id that belongs to the tag: run, pair, then direction and index. Never zero for a run that is not.
func (t *Tag) ID() (id frame.ID) {
	binary.BigEndian.PutUint32(id[0:], t.Run)
	binary.BigEndian.PutUint32(id[4:], t.Pair)
	binary.BigEndian.PutUint64(id[8:], uint64(t.Direction)<<56|t.Index)
	return id
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// AppendBody writes the body of a message: a msgpack bin of size bytes (MinBody to MaxBody) that holds the id, the due time,
// a pattern that differs from message to message, and a CRC-32C of all before it. A retry writes the same bytes.
func AppendBody(dst []byte, t *Tag, size int) []byte {
	if size < 256 {
		dst = append(dst, 0xc4, byte(size))
	} else {
		dst = append(dst, 0xc5, byte(size>>8), byte(size))
	}
	start := len(dst)
	id := t.ID()
	dst = append(dst, id[:]...)
	dst = binary.BigEndian.AppendUint64(dst, uint64(t.Due))
	dst = appendPattern(dst, uint64(t.Pair)<<32^t.Index, size-MinBody+4)
	return binary.BigEndian.AppendUint32(dst, crc32.Checksum(dst[start:], castagnoli))
}

// appendPattern writes n bytes of a sequence that compresses badly (splitmix64), so that a merge of two messages cannot look right.
func appendPattern(dst []byte, seed uint64, n int) []byte {
	for ; n > 0; n -= 8 {
		seed += 0x9e3779b97f4a7c15
		z := (seed ^ seed>>30) * 0xbf58476d1ce4e5b9
		dst = binary.LittleEndian.AppendUint64(dst, z^z>>27)
		if n < 8 {
			dst = dst[:len(dst)-8+n]
		}
	}
	return dst
}

// ParseBody reads a body that AppendBody wrote; ok is false if its size or any of its bytes differs.
func ParseBody(body []byte, size int) (t Tag, ok bool) {
	switch {
	case size < 256 && len(body) == size+2 && body[0] == 0xc4 && int(body[1]) == size:
		body = body[2:]
	case size >= 256 && len(body) == size+3 && body[0] == 0xc5 && int(body[1])<<8|int(body[2]) == size:
		body = body[3:]
	default:
		return t, false
	}
	sum := binary.BigEndian.Uint32(body[size-4:])
	if crc32.Checksum(body[:size-4], castagnoli) != sum {
		return t, false
	}
	last := binary.BigEndian.Uint64(body[8:])
	t = Tag{
		Run: binary.BigEndian.Uint32(body), Pair: binary.BigEndian.Uint32(body[4:]),
		Direction: Direction(last >> 56), Index: last & (1<<56 - 1),
		Due: int64(binary.BigEndian.Uint64(body[16:])),
	}
	return t, true
}
