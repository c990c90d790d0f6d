package core

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/switchyard-im/switchyard/frame"
)

// TestAssignmentFindsRoom: clients may fill what waits for a load, but the desk's decision is not refused, since nobody would repeat it.
func TestAssignmentFindsRoom(t *testing.T) {
	h := newHarness(t, Config{})
	visitor, key := &Identity{User: "v", Role: frame.RoleVisitor}, frame.ID{1}
	conv := ConversationID("v", key)
	m, e := h.m, new(Effects)
	m.Begin(1000, true, e)
	m.Frame(Origin{Conn: 1, Who: visitor}, frame.TypeOpen, (&frame.Open{Ref: 1, Key: key, Group: []byte("g")}).Append(nil), 0)
	for range waitingMax {
		m.Frame(Origin{Conn: 1, Who: visitor}, frame.TypeDetach, (&frame.Detach{Ref: 2, Conv: conv}).Append(nil), 0)
	}
	m.Decide(conv, Decision{Group: "g", Agent: "a"})
	m.Loaded(conv, nil, nil, false, nil)
	m.End()
	h.check()
	if c := m.convs[conv]; c.state != frame.StateAssigned {
		t.Errorf("the conversation is in state %d after it was assigned", c.state)
	}
	if refused := countErrors(t, e); refused != 1 {
		t.Errorf("%d frames were refused, want the one too many", refused)
	}
}

func countErrors(t *testing.T, e *Effects) (n int) {
	t.Helper()
	for _, target := range e.Targets {
		typ, _, _, err := frame.Next(e.Buf[target.Off : target.Off+target.Len])
		if err != nil {
			t.Fatal(err)
		}
		if typ == frame.TypeError {
			n++
		}
	}
	return n
}

// TestManyRetriesKeepTheirOrder: a client that sends more at once than may wait for a load or a lookup is refused some of it, and what it sends again
// is stored in the order of the first time. Half of it arrives when the lookup has ended already.
func TestManyRetriesKeepTheirOrder(t *testing.T) {
	for _, restart := range []bool{false, true} {
		h, conv := begun(t)
		if restart {
			h.m = New(h.m.cfg) // nothing is in memory: a load comes before the lookup
		} else {
			h.m.convs[conv].forgetRecent()
		}
		const count = waitingMax * 3 / 2
		unacked := make([]int, count)
		for i := range unacked {
			unacked[i] = i + 1
		}
		for wave := 0; len(unacked) > 0; wave++ {
			if wave == 4 {
				t.Fatalf("%d messages were not accepted when they came the fourth time", len(unacked))
			}
			half := min(len(unacked), waitingMax+100)
			answers := h.step(sends(unacked[:half])) + "\n"
			if half < len(unacked) {
				answers += h.step(sends(unacked[half:])) + "\n"
			}
			unacked = slices.DeleteFunc(unacked, func(i int) bool { return strings.Contains(answers, fmt.Sprintf("to 1: ack %d,", i)) })
		}
		last := 0
		for _, m := range h.store.conv(conv).messages {
			if m.Kind == frame.KindEvent {
				continue
			}
			i, _ := strconv.Atoi(strings.TrimRight(string(m.ID[1:]), "\x00"))
			if i != last+1 {
				t.Fatalf("restart %t: message %d is stored after message %d", restart, i, last)
			}
			last = i
		}
		if last != count {
			t.Errorf("restart %t: %d of %d messages are stored", restart, last, count)
		}
	}
}

// sends are the lines of a script that send messages with these numbers and an old base.
func sends(numbers []int) (lines []string) {
	for _, i := range numbers {
		lines = append(lines, fmt.Sprintf("send 1 v ref=%d C id=m%d base=0 body=x", i, i))
	}
	return lines
}
