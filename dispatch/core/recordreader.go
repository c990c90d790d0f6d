package core

import (
	"bytes"
	"fmt"
	"io"

	"github.com/vmihailenco/msgpack/v5"
	"github.com/vmihailenco/msgpack/v5/msgpcode"

	"github.com/switchyard-im/switchyard/dispatch/desk"
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

	group *group // of the last record, which the next one likely has too
}

func newRecordReader() *recordReader { return &recordReader{d: msgpack.NewDecoder(nil)} }

// read decodes a record, which is valid until the next read. Its bytes are anybody's: every length is checked before something is allocated for
// it. Of the strings that it has to make it takes likely, and the last record's group, if they are equal.
func (r *recordReader) read(data []byte, likely string) (*record, error) {
	r.data.Reset(data)
	r.d.Reset(&r.data)
	r.err = nil
	group := r.rec.Group
	fields := r.array("fields", oldFields, recordFields)
	r.rec = record{
		Version: int(r.int()), State: frame.ConversationState(r.int()), Group: r.text(group), OpenedMS: r.int(), Agent: int8(r.int()),
		Members: r.rec.Members[:0],
	}
	for range r.array("members", 1, membersMax) {
		r.array("fields of a member", memberFields, memberFields)
		r.rec.Members = append(r.rec.Members, recordMember{User: r.text(likely), Role: frame.Role(r.int()), Delivered: r.uint(), Read: r.uint()})
	}
	if fields == recordFields {
		r.rec.Details = r.details()
	}
	r.data.Reset(nil)
	return &r.rec, r.err
}

// The numbers of fields: of a record without details and with them, of a member, of details.
const (
	oldFields     = 6
	recordFields  = 7
	memberFields  = 4
	detailsFields = 13
)

// details reads them, nil if there are none.
func (r *recordReader) details() *recordDetails {
	if r.err != nil {
		return nil
	}
	if code, err := r.d.PeekCode(); err == nil && code == msgpcode.Nil {
		r.fail(r.d.DecodeNil())
		return nil
	}
	r.array("fields of the details", detailsFields, detailsFields)
	d := &recordDetails{
		Life: uint32(r.uint()), Priority: uint8(r.uint()), QueuedMS: r.int(), Front: r.bool(), ClosedMS: r.int(), Waits: desk.Waits(r.uint()), SinceMS: r.int(),
		Warned: r.bool(), Held: r.bool(), Stars: uint8(r.uint()), Language: r.text(""), Required: r.texts(), Preferred: r.texts(),
	}
	if d.Waits > desk.Visitor {
		r.fail(fmt.Errorf("it waits for %d, which nobody is", d.Waits))
	}
	return d
}

// texts reads an array of strings, nil if it is empty.
func (r *recordReader) texts() (all []string) {
	if code, err := r.d.PeekCode(); r.err == nil && err == nil && code == msgpcode.Nil {
		r.fail(r.d.DecodeNil())
		return nil
	}
	for range r.array("skills", 0, skillsMax) {
		all = append(all, r.text(""))
	}
	return all
}

func (r *recordReader) bool() bool {
	b, err := r.d.DecodeBool()
	if err != nil {
		r.fail(err)
	}
	return b
}

// fail keeps the first error.
func (r *recordReader) fail(err error) {
	if r.err == nil && err != nil {
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
