package core

import (
	"encoding/binary"
	"fmt"
	"strings"

	"github.com/switchyard-im/switchyard/frame"
)

// ServedMemos is what the keys of memos begin with that tell which agent served a visitor last: then the minute (4 bytes, so they are in the order of time),
// the length of the group (1), the group and the visitor. The value is the time in milliseconds (8) and the agent. A visitor may have several; the last
// one counts, and those of past minutes are not written any more.
const ServedMemos = "served/"

// Served tells who served a visitor last, and until when.
type Served struct {
	Group, Visitor, Agent string
	EndedMS               int64
}

const minuteMS = 60_000

// Memo is the form in which it is kept.
func (s Served) Memo() Memo {
	key := binary.BigEndian.AppendUint32([]byte(ServedMemos), uint32(s.EndedMS/minuteMS))
	key = append(append(append(key, byte(len(s.Group))), s.Group...), s.Visitor...)
	value := append(binary.BigEndian.AppendUint64(nil, uint64(s.EndedMS)), s.Agent...)
	return Memo{string(key), value}
}

// DecodeServed reads such a memo.
func DecodeServed(key string, value []byte) (s Served, err error) {
	const head = 4 + 1
	rest := strings.TrimPrefix(key, ServedMemos)
	if len(rest) < head || len(rest) < head+int(rest[4]) || len(value) < 8 {
		return Served{}, fmt.Errorf("core: the memo %q holds %x: written by another version of Switchyard?", key, value)
	}
	group, visitor := rest[head:head+int(rest[4])], rest[head+int(rest[4]):]
	return Served{Group: group, Visitor: visitor, Agent: string(value[8:]), EndedMS: int64(binary.BigEndian.Uint64(value))}, nil
}

// keepAgent keeps who served the visitor of a conversation that ends, if its group wants to know.
func (m *Machine) keepAgent(c *conversation) {
	if c.group.rules.Sticky && c.agent >= 0 && c.members[c.agent].role == frame.RoleAgent {
		s := Served{Group: c.groupName(), Visitor: c.members[0].user, Agent: c.members[c.agent].user, EndedMS: m.now}
		m.out.Memos = append(m.out.Memos, s.Memo())
	}
}
