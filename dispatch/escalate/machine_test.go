package escalate

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/switchyard-im/switchyard/frame"
)

// TestConfigErrors: each names the policy and what to write.
func TestConfigErrors(t *testing.T) {
	many := make([]Step, maxSteps+1)
	for _, c := range []struct {
		steps  []Step
		remedy string
	}{
		{nil, "write one to 8"},
		{many, "write one to 8"},
		{[]Step{{"", time.Minute, "mail", false}}, "a name of its own"},
		{[]Step{{"a", time.Minute, "mail", false}, {"a", time.Hour, "mail", false}}, "a name of its own"},
		{[]Step{{"a", time.Minute, "", false}}, "name a notification channel"},
		{[]Step{{"a", 999 * time.Millisecond, "mail", false}}, "at least 1s"},
		{[]Step{{"a", time.Minute, "mail", false}, {"b", time.Minute, "sms", false}}, "longer times"},
	} {
		_, err := New(Config{Policies: map[string][]Step{"vip": c.steps}}, 0)
		if err == nil || !strings.Contains(err.Error(), `policy "vip"`) || !strings.Contains(err.Error(), c.remedy) {
			t.Errorf("%v: error %v, want %q in it", c.steps, err, c.remedy)
		}
	}
	if _, err := New(Config{Grace: -1}, 0); err == nil {
		t.Error("a negative grace is taken")
	}
	if _, err := New(Config{MaxGap: -1}, 0); err == nil {
		t.Error("a negative gap is taken")
	}
}

// TestOptions: what is left out has its default, and what is set changes when something fires.
func TestOptions(t *testing.T) {
	policies := map[string][]Step{"p": {{"hook", time.Minute, "webhook", false}}}
	k := key{id("c"), "vic"}
	for _, c := range []struct {
		name    string
		cfg     Config
		seconds int // from the start, of a message that is an hour old
	}{
		{"default grace", Config{Policies: policies}, 30},
		{"grace", Config{Policies: policies, Grace: 7 * time.Second}, 7},
		{"grace beyond the step", Config{Policies: policies, Grace: time.Hour}, 60},
	} {
		m, err := New(c.cfg, 0)
		if err != nil {
			t.Fatal(err)
		}
		m.Sent(0, Message{Conv: k.conv, User: k.user, Policy: "p", Seq: 1, AtMS: -3_600_000})
		if ms, ok := m.Next(); !ok || ms != int64(c.seconds)*1000 {
			t.Errorf("%s: due in %d ms, want %d s", c.name, ms, c.seconds)
		}
	}
	for _, c := range []struct {
		gap  time.Duration
		left int64
	}{{0, 55_000}, {time.Minute, 0}} {
		m, err := New(Config{Policies: policies, MaxGap: c.gap}, 0)
		if err != nil {
			t.Fatal(err)
		}
		m.Sent(0, Message{Conv: k.conv, User: k.user, Policy: "p", Seq: 1})
		m.Done(3_600_000, k.conv, "nobody", "hook", 1) // an hour passed without an event
		if ms, ok := m.Next(); !ok || ms != c.left {
			t.Errorf("gap %s: due in %d ms, want %d", c.gap, ms, c.left)
		}
	}
}

// TestNothingIsKept: what is acked leaves nothing.
func TestNothingIsKept(t *testing.T) {
	m, err := New(Config{Policies: map[string][]Step{"p": {{"hook", time.Minute, "webhook", false}}}}, 0)
	if err != nil {
		t.Fatal(err)
	}
	for seq := uint64(1); seq <= 100; seq++ {
		m.Sent(0, Message{Conv: id("c"), User: "vic", Policy: "p", Seq: seq})
		m.Acked(0, id("c"), "vic", seq)
	}
	m.Sent(0, Message{Conv: id("c"), User: "vic", Policy: "p", Seq: 0}) // no message has it
	if len(m.watches) != 0 || len(m.queue) != 0 || len(m.Take()) != 0 {
		t.Errorf("%d watches, %d queued are left, or a write", len(m.watches), len(m.queue))
	}
	if _, ok := m.Next(); ok {
		t.Error("something is due")
	}
}

// TestBurst: what is due for many at once fires in pieces, and what was taken stays as it was until the next Take.
func TestBurst(t *testing.T) {
	m, err := New(Config{Policies: map[string][]Step{"p": {{"hook", time.Second, "webhook", false}}}}, 0)
	if err != nil {
		t.Fatal(err)
	}
	const recipients = 10*perTick + 1
	for i := range recipients {
		m.Sent(0, Message{Conv: id("c"), User: fmt.Sprint("u", i), Policy: "p", Seq: 1})
	}
	fired, ticks := map[string]bool{}, 0
	for now := int64(1000); len(fired) < recipients; ticks++ {
		if ms, ok := m.Next(); ticks > 0 && (!ok || ms != 0) {
			t.Fatalf("%d of %d have fired, and the next is due in %d ms, %v", len(fired), recipients, ms, ok)
		}
		m.Tick(now)
		effects := m.Take()
		before := slices.Clone(effects)
		m.Acked(now, id("c"), effects[0].User, 1)
		if !reflect.DeepEqual(effects, before) {
			t.Fatal("an event changed what was taken")
		}
		for _, e := range effects {
			if e.Kind == Fire {
				fired[e.User] = true
			}
		}
		if len(effects) > 2*perTick+2 {
			t.Fatalf("%d effects of a tick", len(effects))
		}
	}
	if ticks != 11 {
		t.Errorf("%d ticks for %d recipients", ticks, recipients)
	}
}

// FuzzRecord: a record, however damaged, is refused or gives a state that holds the invariants, fires, and can be written again.
func FuzzRecord(f *testing.F) {
	cfg := Config{Policies: map[string][]Step{"p": {{"hook", time.Minute, "webhook", false}, {"mail", time.Hour, "mail", true}}}}
	w := newWatch(key{id("c"), "vic"}, "p", cfg.Policies["p"])
	w.acked, w.last, w.fired = 3, 9, []uint64{5, 0}
	w.entries = []entry{{first: 4, last: 5, sentMS: 1000}, {first: 9, last: 9, sentMS: 2000}}
	w.queued = []notification{{step: 0, first: 4, last: 5}}
	f.Add(w.record())
	w.closed, w.policy = true, "gone"
	f.Add(w.record())
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := New(cfg, 1_800_000_000_000)
		if err != nil {
			t.Fatal(err)
		}
		if m.Restore(id("c"), "vic", data) != nil {
			return
		}
		for range 2 * 3600 / 5 {
			m.Tick(m.clock.wall + 5000)
			if err := m.Check(); err != nil {
				t.Fatal(err)
			}
		}
		if ms, ok := m.Next(); ok {
			t.Fatalf("after two hours something is due in %d ms", ms)
		}
		for _, e := range m.Take() {
			if e.Kind != Put {
				continue
			}
			again, _ := New(cfg, m.clock.wall)
			if err := again.Restore(e.Conv, e.User, e.Record); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// TestRecordErrors: a record of another version, and a second one, are refused with what they are.
func TestRecordErrors(t *testing.T) {
	cfg := Config{Policies: map[string][]Step{"p": {{"hook", time.Minute, "webhook", false}}}}
	m, err := New(cfg, 0)
	if err != nil {
		t.Fatal(err)
	}
	w := newWatch(key{id("c"), "vic"}, "p", cfg.Policies["p"])
	w.last = 1
	good := w.record()
	if err := m.Restore(w.conv, w.user, good); err != nil {
		t.Fatal(err)
	}
	if err := m.Restore(w.conv, w.user, good); err == nil || !strings.Contains(err.Error(), "second record") {
		t.Errorf("a second record: %v", err)
	}
	bad := append([]byte{good[0], 2}, good[2:]...)
	if err := m.Restore(w.conv, "ann", bad); err == nil || !strings.Contains(err.Error(), "another version") {
		t.Errorf("another version: %v", err)
	}
	for n := range good {
		if err := m.Restore(w.conv, "ann", good[:n]); err == nil {
			t.Errorf("%d of %d bytes of a record are taken", n, len(good))
		}
	}
}

// BenchmarkSentAcked is what a message costs that is acked in time, beside 100,000 that are not.
func BenchmarkSentAcked(b *testing.B) {
	m, err := New(Config{Policies: map[string][]Step{"p": {{"hook", time.Hour, "webhook", false}, {"mail", 2 * time.Hour, "mail", true}}}}, 0)
	if err != nil {
		b.Fatal(err)
	}
	var conv frame.ID
	for i := range 100_000 {
		conv[0], conv[1], conv[2] = byte(i), byte(i>>8), byte(i>>16)
		m.Sent(0, Message{Conv: conv, User: "vic", Policy: "p", Seq: 1})
	}
	b.ReportAllocs()
	seq := uint64(0)
	for b.Loop() {
		seq++
		conv[3] = byte(seq)
		m.Sent(0, Message{Conv: conv, User: "ann", Policy: "p", Seq: seq})
		m.Acked(0, conv, "ann", seq)
	}
}
