package core

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"testing"
	"time"

	"github.com/vmihailenco/msgpack/v5"

	"github.com/switchyard-im/switchyard/dispatch/desk"
	"github.com/switchyard-im/switchyard/frame"
)

// TestRecordReader reads what was written, one record after the other with the same reader, as the msgpack package does by reflection.
func TestRecordReader(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	r := newRecordReader()
	for range 2000 {
		c := conversation{state: frame.ConversationState(rnd.IntN(4)), group: &group{name: fmt.Sprint("group", rnd.IntN(3))}, openedMS: rnd.Int64() - rnd.Int64(), agent: int8(rnd.IntN(256))}
		for range 1 + rnd.IntN(membersMax) {
			c.members = append(c.members, member{user: fmt.Sprint("user", rnd.IntN(300)), role: frame.Role(rnd.IntN(4)), delivered: rnd.Uint64() >> rnd.IntN(64), read: rnd.Uint64()})
		}
		if rnd.IntN(2) == 0 {
			c.details = &details{life: rnd.Uint32(), priority: uint8(rnd.IntN(256)), queuedMS: rnd.Int64(), front: rnd.IntN(2) == 0, closedMS: -rnd.Int64(), waits: desk.Waits(rnd.IntN(4)),
				sinceMS: rnd.Int64(), warned: rnd.IntN(2) == 0, held: rnd.IntN(2) == 0, stars: uint8(rnd.IntN(6)), need: desk.Need{Language: "de", Required: []string{"x", "y"}[rnd.IntN(2):]}}
		}
		data := appendRecord(nil, &c)
		var want record
		if err := msgpack.Unmarshal(data, &want); err != nil {
			t.Fatal(err)
		}
		got, err := r.read(data, "user7")
		if err != nil || !reflect.DeepEqual(*got, want) {
			t.Fatalf("read %+v, %v\nwant %+v", got, err, want)
		}
		cut := rnd.IntN(len(data))
		if _, err := r.read(data[:cut], ""); err == nil {
			t.Fatalf("%d of %d bytes are taken for a record", cut, len(data))
		}
	}
}

// TestRecordReaderAllocs: a record of the group of the one before and of the expected member costs nothing.
func TestRecordReaderAllocs(t *testing.T) {
	data := appendRecord(nil, &conversation{state: frame.StateQueued, group: &group{name: "support"}, agent: -1, members: []member{{user: "visitor-4711", role: frame.RoleVisitor}}})
	r := newRecordReader()
	if n := testing.AllocsPerRun(100, func() {
		if _, err := r.read(data, "visitor-4711"); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations a record", n)
	}
}
