package hours

import (
	"strings"
	"testing"
	"time"
)

// TestString: what String writes is short, in one order, and means the same.
func TestString(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"zone UTC; Mo,We-Fr 09:00-12:00,13:00-18:00", "Mo 09:00-12:00,13:00-18:00; Tu closed; We-Fr 09:00-12:00,13:00-18:00; Sa-Su closed; zone UTC"},
		{"Sa-Mo 13:00-18:00, 09:00-12:00 ;\n zone Europe/Berlin;", "Mo 09:00-12:00,13:00-18:00; Tu-Fr closed; Sa-Su 09:00-12:00,13:00-18:00; zone Europe/Berlin"},
		{"Mo-Su 22:00-06:00; zone UTC; 2026-12-31..2027-01-02 closed; 2026-12-30 closed; 2027-01-03 20:00-24:00; 2027-01-05 20:00-00:00",
			"Mo-Su 22:00-06:00; zone UTC; 2026-12-30..2027-01-02 closed; 2027-01-03 20:00-24:00; 2027-01-05 20:00-24:00"},
	} {
		h := mustParse(t, c.text)
		if got := h.String(); got != c.want {
			t.Errorf("%q\n got %q\nwant %q", c.text, got, c.want)
		}
	}
}

// TestParseErrors: each names the rule, what is wrong, and what to write.
func TestParseErrors(t *testing.T) {
	for _, c := range []struct{ text, where, remedy string }{
		{"Mo-Fr 09:00-18:00", "no time zone", "zone Europe/Berlin"},
		{"zone UTC", "no hours", "Mo-Fr 09:00-18:00"},
		{"", "no time zone", "zone Europe/Berlin"},
		{"zone Europe/Berlim; Mo 09:00-18:00", `"Europe/Berlim"`, "IANA name"},
		{"zone; Mo 09:00-18:00", `"zone"`, "Europe/Berlin"},
		{"zone Local; Mo 09:00-18:00", `"zone Local"`, "IANA name"},
		{"zone ../../etc/passwd; Mo 09:00-18:00", `"../../etc/passwd"`, "IANA name"},
		{"zone UTC; zone Europe/Berlin", `"zone Europe/Berlin"`, "remove the other"},
		{"Mo-Fr 9:00-18:00; zone UTC", `"9:00"`, "HH:MM"},
		{"Mo-Fr 09:00-18:60; zone UTC", `"18:60"`, "HH:MM"},
		{"Mo-Fr 09:00-24:01; zone UTC", `"24:01"`, "24:00"},
		{"Mo-Fr 09:00-１8:0; zone UTC", "no time of day", "HH:MM"},
		{"Mo-Fr 24:00-02:00; zone UTC", `"24:00-02:00"`, "next day"},
		{"Mo-Fr 09:00-09:00; zone UTC", `"09:00-09:00"`, "00:00-24:00"},
		{"Mo-Fr 09:00; zone UTC", `"09:00"`, "09:00-18:00"},
		{"Mo-Fr; zone UTC", "hours are missing", "09:00-18:00"},
		{"Mo-Fr 09:00-12:00,11:00-13:00; zone UTC", "09:00-12:00 and 11:00-13:00 overlap", "write one"},
		{"Mo-Fr 09:00-12:00,; zone UTC", `""`, "09:00-18:00"},
		{"Mon 09:00-12:00; zone UTC", `"Mon"`, "Mo, Tu"},
		{"Mo- 09:00-12:00; zone UTC", `"Mo-"`, "Mo-Fr"},
		{"Mo - Fr 09:00-12:00; zone UTC", "Mo - Fr", "HH:MM"},
		{"Mo-Fr 09:00-12:00; Fr 13:00-15:00; zone UTC", "Fr has hours already", "one rule"},
		{"2026-13-24 closed; zone UTC", `"2026-13-24"`, "YYYY-MM-DD"},
		{"2026-02-29 closed; zone UTC", `"2026-02-29"`, "YYYY-MM-DD"},
		{"2026-12-24-2026-12-26 closed; zone UTC", `"2026-12-24-2026-12-26"`, ".."},
		{"2026-12-26..2026-12-24 closed; zone UTC", "2026-12-24 is before 2026-12-26", "earlier date first"},
		{"2026-12-24 closed; 2026-12-20..2026-12-24 closed; zone UTC", "2026-12-24 is named twice", "one rule"},
		{"2026-01-01..2029-01-01 closed; zone UTC", "1000 days", "remove"},
		{strings.Repeat("Mo closed;", maxText), "bytes", "schedule"},
	} {
		h, err := Parse(c.text)
		if err == nil {
			t.Errorf("%.80q is taken for %s", c.text, h)
			continue
		}
		if msg := err.Error(); !strings.HasPrefix(msg, "hours: ") || !strings.Contains(msg, c.where) || !strings.Contains(msg, c.remedy) {
			t.Errorf("%.80q: %q, want %q and %q in it", c.text, msg, c.where, c.remedy)
		}
	}
}

// FuzzParse: whatever is taken for a schedule is written in a form that is the same schedule, and has answers that agree.
func FuzzParse(f *testing.F) {
	f.Add("Mo-Fr 09:00-18:00; Sa 10:00-14:00; zone Europe/Berlin; 2026-12-24 closed; 2026-12-31 10:00-14:00", int64(1_800_000_000))
	f.Add("Sa-Mo,We 22:00-06:00,07:00-09:00;zone America/St_Johns;0000-01-01..0000-01-09 00:00-24:00", int64(-62_167_219_200))
	f.Add("Mo-Su 00:00-24:00; zone UTC; 9999-12-31 closed", int64(253_402_300_799))
	f.Fuzz(func(t *testing.T, text string, unix int64) {
		h, err := Parse(text)
		if err != nil {
			return
		}
		again, err := Parse(h.String())
		if err != nil || again.String() != h.String() {
			t.Fatalf("%q is written as %q, and read as %v, %v", text, h, again, err)
		}
		const year10000 = 253_402_300_800
		at := time.Unix(unix%year10000, 0)
		opens, closes := h.Next(at)
		switch {
		case h.Open(at) != again.Open(at):
			t.Fatalf("%q and %q differ at %s", text, h, at)
		case h.Open(at) != opens.Equal(at):
			t.Fatalf("%q at %s: open %v, opens next %s", h, at, h.Open(at), opens)
		case !opens.IsZero() && (opens.Before(at) || !h.Open(opens)):
			t.Fatalf("%q at %s: opens at %s", h, at, opens)
		case !closes.IsZero() && (!closes.After(opens) || h.Open(closes)):
			t.Fatalf("%q at %s: closes at %s", h, at, closes)
		}
	})
}
