package sink

import "encoding/binary"

// place is a point in the numbering of the commits, and what the outbox was given up to there, all that is shipped included. So a
// backlog is the difference of two places, and nothing has to be counted when the store is opened.
type place struct{ number, rows, bytes uint64 }

// The kinds of an entry.
const (
	entryMessages = 1
	entryGap      = 2
)

const (
	entryVersion = 1
	entryHeadLen = 1 + 1 + 8 + 4 + 8 + 8
)

// entry is one entry of the outbox without its frames. The zero entry stands for none.
//
//	'x' number(8)   version(1) kind(1) time(8) rows(4) rows(8) bytes(8), then the Message frames in a row, or
//	                for a gap: rows(8) from(8) to(8), see Gap
//
// Time is when it was committed, in Unix milliseconds. The second rows and the bytes count all entries up to this one.
type entry struct {
	kind   byte
	timeMS uint64
	rows   uint32
	upto   place
}

func (e entry) appendHead(dst []byte) []byte {
	dst = append(dst, entryVersion, e.kind)
	dst = binary.BigEndian.AppendUint64(dst, e.timeMS)
	dst = binary.BigEndian.AppendUint32(dst, e.rows)
	dst = binary.BigEndian.AppendUint64(dst, e.upto.rows)
	return binary.BigEndian.AppendUint64(dst, e.upto.bytes)
}

// parseEntry reads an entry; body borrows from value.
func parseEntry(key, value []byte) (e entry, body []byte, err error) {
	if len(key) != entryKeyLen || len(value) < entryHeadLen || value[0] != entryVersion {
		return entry{}, nil, errDamaged
	}
	e = entry{kind: value[1], timeMS: binary.BigEndian.Uint64(value[2:]), rows: binary.BigEndian.Uint32(value[10:])}
	e.upto = place{
		number: binary.BigEndian.Uint64(key[1:]),
		rows:   binary.BigEndian.Uint64(value[14:]),
		bytes:  binary.BigEndian.Uint64(value[22:]),
	}
	if e.kind != entryMessages && e.kind != entryGap {
		return entry{}, nil, errDamaged
	}
	return e, value[entryHeadLen:], nil
}

// before returns the place before an entry with a body of size bytes. What was given up never counted.
func (e entry) before(size int) place {
	if e.kind == entryGap {
		return place{number: e.upto.number - 1, rows: e.upto.rows, bytes: e.upto.bytes}
	}
	return place{number: e.upto.number - 1, rows: e.upto.rows - uint64(e.rows), bytes: e.upto.bytes - uint64(size)}
}

// appendPlace and parsePlace are the form of a place in a record of its own.
func appendPlace(dst []byte, p place) []byte {
	dst = binary.BigEndian.AppendUint64(dst, p.number)
	dst = binary.BigEndian.AppendUint64(dst, p.rows)
	return binary.BigEndian.AppendUint64(dst, p.bytes)
}

func parsePlace(b []byte) (place, error) {
	if len(b) != 24 {
		return place{}, errDamaged
	}
	return place{number: binary.BigEndian.Uint64(b), rows: binary.BigEndian.Uint64(b[8:]), bytes: binary.BigEndian.Uint64(b[16:])}, nil
}
