package history

import (
	"github.com/switchyard-im/switchyard/frame"
)

// event is what a report needs of a message of frame.KindEvent. What its body does not name is empty.
type event struct {
	name    string // opened, queued, assigned, transferred, closed, rated, ...
	group   string
	visitor string
	agent   string
	actor   string // who did it
	reason  string
	rating  uint8
	comment string
}

// parseEvent reads the body of an event. It takes what it knows and leaves the rest, so that no event is ever a row that cannot be
// written. It allocates; events are few beside messages.
func parseEvent(body []byte) event {
	var m map[string]any
	if frame.DecodeBody(body, &m) != nil {
		return event{}
	}
	text := func(key string) string { s, _ := m[key].(string); return s }
	return event{
		name:    text("event"),
		group:   text("group"),
		visitor: text("visitor"),
		agent:   text("agent"),
		actor:   text("by"),
		reason:  text("reason"),
		rating:  smallNumber(m["rating"]),
		comment: text("comment"),
	}
}

// smallNumber is a msgpack integer from 0 to 255, and 0 for anything else.
func smallNumber(v any) uint8 {
	var n int64
	switch v := v.(type) {
	case int8:
		n = int64(v)
	case int16:
		n = int64(v)
	case int32:
		n = int64(v)
	case int64:
		n = v
	case uint8:
		n = int64(v)
	case uint16:
		n = int64(v)
	case uint32:
		n = int64(v)
	case uint64:
		n = int64(min(v, 1<<62))
	}
	if n < 0 || n > 255 {
		return 0
	}
	return uint8(n)
}
