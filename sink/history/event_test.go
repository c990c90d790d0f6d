package history

import (
	"testing"

	"github.com/switchyard-im/switchyard/frame"
)

func TestParseEvent(t *testing.T) {
	body, err := frame.AppendBody(nil, map[string]any{
		"event": "rated", "group": "g", "visitor": "v", "agent": "a", "by": "b", "reason": "r", "rating": 5, "comment": "c", "more": []int{1},
	})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := parseEvent(body), (event{"rated", "g", "v", "a", "b", "r", 5, "c"}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

// TestOddEvents: an event of another version, or none, must not become a row that cannot be written.
func TestOddEvents(t *testing.T) {
	for _, v := range []any{nil, "opened", 1, []any{"event"}, map[string]any{"event": 1, "rating": "five"}, map[string]any{"rating": -1}, map[string]any{"rating": 256}} {
		body, err := frame.AppendBody(nil, v)
		if err != nil {
			t.Fatal(err)
		}
		if got := parseEvent(body); got != (event{}) {
			t.Errorf("%v became %+v", v, got)
		}
	}
	for n := range 256 {
		body, _ := frame.AppendBody(nil, map[string]any{"rating": n})
		if got := parseEvent(body).rating; int(got) != n {
			t.Errorf("rating %d became %d", n, got)
		}
	}
}
