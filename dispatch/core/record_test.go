package core

import (
	"reflect"
	"testing"

	"github.com/switchyard-im/switchyard/dispatch/desk"
	"github.com/switchyard-im/switchyard/frame"
)

// FuzzRecord: a state record, however damaged, is refused or gives a conversation that can be shown and written again.
func FuzzRecord(f *testing.F) {
	whole := conversation{state: frame.StateAssigned, group: &group{name: "g"}, openedMS: 5, agent: 1, members: []member{
		{user: "v", role: frame.RoleVisitor, delivered: 3, read: 2}, {user: "a", role: frame.RoleAgent}},
		details: &details{life: 2, priority: 3, queuedMS: 7, waits: desk.Agent, sinceMS: 8, warned: true, held: true, stars: 4,
			need: desk.Need{Language: "de", Required: []string{"x"}, Preferred: []string{"y", "z"}}}}
	record := appendRecord(nil, &whole)
	f.Add(appendRecord(nil, &conversation{state: frame.StateQueued, group: &group{name: "g"}, agent: -1, members: []member{{user: "v", role: frame.RoleVisitor}}}))
	f.Add([]byte("\x96\x01\x01\xa1g\x05\xff\x91\x94\xa1v\x01\x00\x00")) // as it was before there were details
	for n := range record {
		f.Add(record[:n])
	}
	f.Add(record)
	f.Add([]byte("\x96\x01\xcc\x02\xa1\xccg\xd3\x00\x00\x90\x90\x00\x00\x00\xdd\xdd\xdd\xdd\x05\xd0\x01\x92\x94\xa1v\xccA")) // declares 3.7 billion members
	f.Fuzz(func(t *testing.T, data []byte) {
		if _, _, _, err := NewOpenDecoder().Decode(frame.ID{1}, data); err != nil {
			return
		}
		records := newRecordReader()
		c := &conversation{id: frame.ID{1}, load: loaded}
		if err := records.restore(c, data, "v"); err != nil {
			t.Fatalf("the desk takes what the conversation does not: %v", err)
		}
		for _, m := range c.members { // the head comes from the messages
			c.head = max(c.head, m.delivered, m.read)
		}
		c.forgetRecent()
		if err := c.check(); err != nil {
			t.Error(err)
		}
		m := New(Config{})
		m.out = new(Effects)
		m.appendConversation(c, 1)
		again := &conversation{}
		if err := records.restore(again, appendRecord(nil, c), ""); err != nil || len(again.members) != len(c.members) || again.agent != c.agent || !reflect.DeepEqual(again.details, c.details) {
			t.Errorf("written and read again: %+v, %v", again, err)
		}
	})
}
