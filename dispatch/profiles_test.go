package dispatch

import (
	"fmt"
	"slices"
	"testing"

	"github.com/switchyard-im/switchyard/dispatch/auth"
	"github.com/switchyard-im/switchyard/frame"
)

// Visitors with the same groups share one profile, those with others never; what is kept is bounded.
func TestProfiles(t *testing.T) {
	var p profiles
	visitor := func(groups ...string) *auth.Identity {
		return &auth.Identity{User: "v", Role: frame.RoleVisitor, Groups: groups, Skills: []string{"tax"}}
	}
	if p.of(visitor()) != nil {
		t.Error("a visitor without groups has a profile")
	}
	a := p.of(visitor("a", "b"))
	if p.of(visitor("a", "b")) != a {
		t.Error("visitors with the same groups do not share")
	}
	for _, groups := range [][]string{{"ab"}, {"a"}, {"b", "a"}, {"a", "b", ""}, {"a\x01b"}} {
		if got := p.of(visitor(groups...)); got == a || !slices.Equal(got.Groups, groups) {
			t.Errorf("%q: %+v", groups, got)
		}
	}
	if a.Skills != nil {
		t.Errorf("a visitor has skills: %+v", a)
	}
	for i := range 3 * profilesKept {
		p.of(visitor(fmt.Sprint(i)))
	}
	if len(p.known) > profilesKept {
		t.Errorf("%d are kept", len(p.known))
	}
	agent := &auth.Identity{Role: frame.RoleAgent, Groups: []string{"a", "b"}, Capacity: 3, Weight: 2, Skills: []string{"tax"}, Languages: []string{"de"}}
	if got := p.of(agent); got == a || got.Capacity != 3 || got.Weight != 2 || got.Skills[0] != "tax" || got.Languages[0] != "de" {
		t.Errorf("an agent: %+v", got)
	}
}
