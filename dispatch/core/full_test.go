package core

import (
	"fmt"
	"strings"
	"testing"

	"github.com/switchyard-im/switchyard/frame"
)

// TestFullOfParticipants: once nobody new can take part, people are told so before the desk moves the conversation; and if the desk gives it to somebody new, it
// is closed: it would have an agent for the desk, and nobody would serve it.
func TestFullOfParticipants(t *testing.T) {
	h, conv := begun(t)
	h.step([]string{"user z agent groups=g", "user s supervisor groups=g", "user b2 agent groups=g"})
	for i := 2; i < membersMax; i++ {
		h.step([]string{fmt.Sprint("assign C b", i)})
	}
	h.step([]string{"queue C"})
	for _, request := range []string{"claim 3 z ref=1 C", "transfer 4 s ref=1 C group=h", "transfer 4 s ref=1 C agent=z"} {
		if got := h.step([]string{request}); !strings.Contains(got, textFull) || strings.Contains(got, "desk:") {
			t.Errorf("%s: %s", request, got)
		}
	}
	for _, request := range []string{"claim 5 b2 ref=2 C", "transfer 4 s ref=2 C agent=b2"} {
		if got := h.step([]string{request}); !strings.Contains(got, "desk:") {
			t.Errorf("%s: %s", request, got)
		}
	}
	if got := h.step([]string{"assign C b2"}); h.m.convs[conv].state != frame.StateAssigned {
		t.Errorf("who took part before has it again: %s", got)
	}
	got := h.step([]string{"assign C z for=4 by=s"})
	if h.m.convs[conv].state != frame.StateClosed || !strings.Contains(got, "desk: closed C") || !strings.Contains(got, `"reason":"too_many_participants"`) ||
		!strings.Contains(got, textFull) {
		t.Errorf("the desk gave it to z: %s", got)
	}
}

// TestApplicationsLeaveRoom: however many names applications write under, an agent can have the conversation.
func TestApplicationsLeaveRoom(t *testing.T) {
	h := newHarness(t, Config{})
	h.step([]string{"user v visitor", "open 1 v ref=1 key=C group=g"})
	refused := 0
	for i := range membersMax {
		h.step([]string{fmt.Sprintf("user bot%d system", i)})
		if got := h.step([]string{fmt.Sprintf("send 2 bot%d ref=1 C id=m%d base=0 body=x", i, i)}); strings.Contains(got, "too many participants") {
			refused++
		}
	}
	h.step([]string{"user a agent groups=g", "assign C a"})
	if c := h.m.convs[h.convs["C"]]; c.state != frame.StateAssigned || refused == 0 || refused == membersMax {
		t.Errorf("%d names were refused, and the state is %d", refused, c.state)
	}
}
