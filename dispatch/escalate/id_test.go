package escalate

import (
	"fmt"
	"regexp"
	"testing"
)

// TestNotificationID: it depends on each part, is fit for a header, and stays as it is: receivers keep ids for days.
func TestNotificationID(t *testing.T) {
	if got, want := NotificationID(id("c"), "vic", "hook", 7), "iuIM2EX5KtNwGJXGKZZvsOMhqgd5osWdRgxWbW23B98"; got != want {
		t.Errorf("the id was %s, and is %s now", want, got)
	}
	valid, seen := regexp.MustCompile(`^[A-Za-z0-9_-]{43}$`), map[string]string{}
	for _, conv := range []string{"c", "d"} {
		for _, names := range [][2]string{{"vic", "hook"}, {"vich", "ook"}, {"", "vichook"}, {"vichook", ""}, {"ü\r\n", "\x00"}} {
			for _, last := range []uint64{1, 256, 1 << 40} {
				what := fmt.Sprint(conv, names, last)
				n := NotificationID(id(conv), names[0], names[1], last)
				if !valid.MatchString(n) || seen[n] != "" {
					t.Errorf("%q has the id %q, as has %q", what, n, seen[n])
				}
				seen[n] = what
			}
		}
	}
}
