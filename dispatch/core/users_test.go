package core

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/switchyard-im/switchyard/frame"
)

// TestUsersAsInAnObviousModel: devices come and go in any order, some twice.
func TestUsersAsInAnObviousModel(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	u, model := newUsers(), map[UserKey][]frame.ConnID{}
	for range 20_000 {
		key := UserKey{Role: frame.Role(1 + r.IntN(2)), Name: string('a' + rune(r.IntN(3)))}
		conn := frame.ConnID(1 + r.IntN(5))
		known := slices.Contains(model[key], conn)
		if u.has(key, conn) != known {
			t.Fatalf("%v has %d: %v", key, conn, !known)
		}
		if r.IntN(2) == 0 {
			u.add(key, conn)
			if !known {
				model[key] = append(model[key], conn)
			}
		} else {
			model[key] = slices.DeleteFunc(model[key], func(c frame.ConnID) bool { return c == conn })
			if last := u.remove(key, conn); last != (known && len(model[key]) == 0) {
				t.Fatalf("%v: the last one went: %v", key, last)
			}
		}
		checkUsers(t, &u, model)
	}
}

func checkUsers(t *testing.T, u *users, model map[UserKey][]frame.ConnID) {
	t.Helper()
	online := 0
	for key, want := range model {
		var got []frame.ConnID
		u.each(key, func(c frame.ConnID) { got = append(got, c) })
		slices.Sort(got)
		if sorted := slices.Sorted(slices.Values(want)); !slices.Equal(got, sorted) {
			t.Fatalf("%v has %v, want %v", key, got, sorted)
		}
		if len(want) > 0 {
			online++
		}
		if more, listed := u.more[key]; listed && len(more) == 0 {
			t.Fatalf("%v has an empty list", key)
		}
	}
	if u.online() != online {
		t.Fatalf("%d users, want %d", u.online(), online)
	}
}
