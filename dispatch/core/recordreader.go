package core

import (
	"fmt"

	"github.com/switchyard-im/switchyard/dispatch/desk"
	"github.com/switchyard-im/switchyard/dispatch/packed"
	"github.com/switchyard-im/switchyard/frame"
)

// recordReader decodes records one after the other, and allocates only names that it has not just seen: what was free between the conversations
// after a start would stay resident. Not safe for concurrent use.
type recordReader struct {
	in  *packed.Reader
	rec record // of the last read; Members is used again

	group *group // of the last record, which the next one likely has too
}

func newRecordReader() *recordReader { return &recordReader{in: packed.NewReader()} }

// read decodes a record, which is valid until the next read. Of the strings that it has to make it takes likely, and the last record's group, if they
// are equal.
func (r *recordReader) read(data []byte, likely string) (*record, error) {
	r.in.Reset(data)
	group := r.rec.Group
	fields := r.in.Array("fields", oldFields, recordFields)
	r.rec = record{
		Version: int(r.in.Int()), State: frame.ConversationState(r.in.Int()), Group: r.in.Text(group), OpenedMS: r.in.Int(), Agent: int8(r.in.Int()),
		Members: r.rec.Members[:0],
	}
	for range r.in.Array("members", 1, membersMax) {
		r.in.Array("fields of a member", memberFields, memberFields)
		r.rec.Members = append(r.rec.Members, recordMember{User: r.in.Text(likely), Role: frame.Role(r.in.Int()), Delivered: r.in.Uint(), Read: r.in.Uint()})
	}
	if fields == recordFields && !r.in.Nil() {
		r.rec.Details = r.details()
	}
	return &r.rec, r.in.Err()
}

// The numbers of fields: of a record without details and with them, of a member, of details.
const (
	oldFields     = 6
	recordFields  = 7
	memberFields  = 4
	detailsFields = 13
)

func (r *recordReader) details() *recordDetails {
	r.in.Array("fields of the details", detailsFields, detailsFields)
	d := &recordDetails{
		Life: uint32(r.in.Uint()), Priority: uint8(r.in.Uint()), QueuedMS: r.in.Int(), Front: r.in.Bool(), ClosedMS: r.in.Int(), Waits: desk.Waits(r.in.Uint()), SinceMS: r.in.Int(),
		Warned: r.in.Bool(), Held: r.in.Bool(), Stars: uint8(r.in.Uint()), Language: r.in.Text(""), Required: r.in.Texts("skills", skillsMax), Preferred: r.in.Texts("skills", skillsMax),
	}
	if d.Waits > desk.Visitor {
		r.in.Fail(fmt.Errorf("it waits for %d, which nobody is", d.Waits))
	}
	return d
}
