package core

import (
	"bytes"
	"fmt"
	"io"

	"github.com/vmihailenco/msgpack/v5"

	"github.com/switchyard-im/switchyard/frame"
)

// recordReader decodes records one after the other, and allocates only names that it has not just seen. By reflection a record would cost ten
// objects, for each conversation when the server starts and again when it is loaded; what was free between the conversations after that
// would stay resident. Not safe for concurrent use.
type recordReader struct {
	d    *msgpack.Decoder
	data bytes.Reader
	err  error  // the first one; nothing that was read after it counts
	rec  record // of the last read; Members is used again
	name []byte // scratch
}

func newRecordReader() *recordReader { return &recordReader{d: msgpack.NewDecoder(nil)} }

// read decodes a record, which is valid until the next read. Its bytes are anybody's: every length is checked before something is allocated for
// it. Of the strings that it has to make it takes likely, and the last record's group, if they are equal.
func (r *recordReader) read(data []byte, likely string) (*record, error) {
	r.data.Reset(data)
	r.d.Reset(&r.data)
	r.err = nil
	group := r.rec.Group
	r.array("fields", recordFields, recordFields)
	r.rec = record{
		Version: int(r.int()), State: frame.ConversationState(r.int()), Group: r.text(group), OpenedMS: r.int(), Agent: int8(r.int()),
		Members: r.rec.Members[:0],
	}
	for range r.array("members", 1, membersMax) {
		r.array("fields of a member", memberFields, memberFields)
		r.rec.Members = append(r.rec.Members, recordMember{User: r.text(likely), Role: frame.Role(r.int()), Delivered: r.uint(), Read: r.uint()})
	}
	r.data.Reset(nil)
	return &r.rec, r.err
}

// The numbers of fields of a record and of a member.
const (
	recordFields = 6
	memberFields = 4
)

// fail keeps the first error.
func (r *recordReader) fail(err error) {
	if r.err == nil {
		r.err = err
	}
}

// array reads the head of an array; 0 if its length is not from least to most.
func (r *recordReader) array(what string, least, most int) int {
	if r.err != nil {
		return 0
	}
	n, err := r.d.DecodeArrayLen()
	if err == nil && (n < least || n > most) {
		err = fmt.Errorf("%d %s, there are %d to %d", n, what, least, most)
	}
	if err != nil {
		r.fail(err)
		return 0
	}
	return n
}

func (r *recordReader) int() int64 {
	n, err := r.d.DecodeInt64()
	if err != nil {
		r.fail(err)
	}
	return n
}

func (r *recordReader) uint() uint64 {
	n, err := r.d.DecodeUint64()
	if err != nil {
		r.fail(err)
	}
	return n
}

// text reads a string; equal, if that is what it says.
func (r *recordReader) text(equal string) string {
	n, err := r.d.DecodeBytesLen()
	switch {
	case err == nil && n > r.data.Len():
		err = io.ErrUnexpectedEOF
	case err == nil && n > 0:
		r.name = append(r.name[:0], make([]byte, n)...)
		err = r.d.ReadFull(r.name)
	default:
		r.name = r.name[:0]
	}
	if err != nil {
		r.fail(err)
		return ""
	}
	if string(r.name) == equal {
		return equal
	}
	return string(r.name)
}
