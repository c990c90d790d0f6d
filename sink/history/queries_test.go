package history_test

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/switchyard-im/switchyard/frame"
	"github.com/switchyard-im/switchyard/sink/history"
)

// answers are the two implementations of Queries over the same conversations.
type answers struct {
	all        []frame.Message
	groups     map[frame.ID]string
	clickhouse history.Queries
	embedded   history.Queries
}

// deskGroups are names that are hard to quote.
var deskGroups = []string{"sales", `it's \ "odd"`, "tab\tand\nline"}

// desk makes the conversations of a service desk: opened, written to, assigned, answered, closed, rated; some of them not so far.
func desk(t *testing.T, rnd *rand.Rand, n int) (all []frame.Message, groups map[frame.ID]string) {
	groups = map[frame.ID]string{}
	for i := range n {
		conv, at, seq := convID(i), uint64(startMS)+uint64(rnd.IntN(3*24*3600_000)), uint64(0)
		groups[conv] = deskGroups[rnd.IntN(3)]
		add := func(sender string, kind frame.Kind, body any) {
			raw, err := frame.AppendBody(nil, body)
			if err != nil {
				t.Fatal(err)
			}
			seq, at = seq+1, at+uint64(rnd.IntN(90_000))
			all = append(all, frame.Message{Conv: conv, Seq: seq, Prev: seq - 1, TimeMS: at, Sender: []byte(sender), Kind: kind, Body: raw})
		}
		agent := fmt.Sprint("agent", rnd.IntN(4))
		steps := []func(){
			func() { add("", frame.KindEvent, map[string]any{"event": "opened", "group": groups[conv], "by": "v"}) },
			func() { add("v", frame.KindChat, fmt.Sprintf("Hello, order-%d is LATE; grüße", rnd.IntN(20))) },
			func() {
				add("", frame.KindEvent, map[string]any{"event": "assigned", "agent": agent, "reason": "least_active"})
			},
			func() { add("v", frame.KindChat, map[string]any{"form": []any{"late", 3}, "note": "urgent"}) },
			func() { add(agent, frame.KindChat, fmt.Sprintf("which order? %d", rnd.IntN(5))) },
			func() { add(agent, frame.KindChat, "sorry, it is late") },
			func() { add("", frame.KindEvent, map[string]any{"event": "closed", "by": agent}) },
			func() {
				add("", frame.KindEvent, map[string]any{"event": "rated", "rating": 1 + rnd.IntN(5), "by": "v"})
			},
		}
		for _, step := range steps[:1+rnd.IntN(len(steps))] {
			step()
		}
	}
	return all, groups
}

// newAnswers puts the conversations into both.
func newAnswers(t *testing.T, rnd *rand.Rand) *answers {
	a := &answers{}
	a.all, a.groups = desk(t, rnd, 60)
	c := open(t, shipping(t))
	feed := &memoryFeed{}
	for part := range slices.Chunk(a.all, 40) {
		feed.put(part...)
	}
	feed.put(a.all[:30]...) // rows that are there twice change nothing
	run(t, c, feed)
	shipped(t, feed)
	a.clickhouse = c
	st, _ := openStore(t, t.TempDir())
	for i := range a.all {
		accept(t, st, a.all[i])
	}
	a.embedded = history.NewEmbedded(st, func(conv frame.ID) (string, error) { return a.groups[conv], nil }, time.Minute)
	return a
}

// each runs a part of the contract on both.
func (a *answers) each(t *testing.T, f func(*testing.T, history.Queries)) {
	t.Run("clickhouse", func(t *testing.T) { f(t, a.clickhouse) })
	t.Run("embedded", func(t *testing.T) { f(t, a.embedded) })
}

// found reads all pages of a search.
func found(t *testing.T, q history.Queries, s history.Search) (all []frame.Message) {
	t.Helper()
	for range 1000 {
		page, err := q.Search(context.Background(), s)
		if err != nil || !page.Complete || len(page.Messages) > s.Limit {
			t.Fatalf("%+v: %d messages, %v", s, len(page.Messages), err)
		}
		all = append(all, page.Messages...)
		if page.Next == (history.Cursor{}) {
			return all
		}
		if s.After, err = history.ParseCursor(page.Next.String()); err != nil {
			t.Fatal(err)
		}
	}
	t.Fatal("the search does not end")
	return nil
}

// canonical brings messages into an order, since messages of one millisecond may come in any, and checks that they came newest first.
func canonical(t *testing.T, messages []frame.Message) (frames []byte) {
	t.Helper()
	if !slices.IsSortedFunc(messages, func(a, b frame.Message) int { return cmp.Compare(b.TimeMS, a.TimeMS) }) {
		t.Error("not newest first")
	}
	sorted := slices.Clone(messages)
	slices.SortFunc(sorted, func(a, b frame.Message) int {
		return cmp.Or(cmp.Compare(b.TimeMS, a.TimeMS), bytes.Compare(b.Conv[:], a.Conv[:]), cmp.Compare(b.Seq, a.Seq))
	})
	for _, m := range sorted {
		frames = m.Append(frames)
	}
	return frames
}

// TestQueries is the contract of Queries.
func TestQueries(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	a := newAnswers(t, rnd)
	a.each(t, a.searches)
	a.each(t, a.reports)
	a.agree(t)
}

func (a *answers) searches(t *testing.T, q history.Queries) {
	every := deskGroups
	for _, c := range []struct {
		words  string
		groups []string
		from   uint64
		to     uint64
		want   func(m *frame.Message, text string) bool
	}{
		{"late", every, 0, 0, func(m *frame.Message, text string) bool { return text != "" && text != "which" }},
		{"LATE hello", every, 0, 0, func(_ *frame.Message, text string) bool { return text == "Hello" }},
		{"order-7", every, 0, 0, nil},
		{"Grüße", every, 0, 0, func(_ *frame.Message, text string) bool { return text == "Hello" }},
		{"urgent", deskGroups[1:2], 0, 0, func(m *frame.Message, text string) bool { return text == "map" }},
		{"late", deskGroups[2:3], startMS + 24*3600_000, startMS + 48*3600_000, func(_ *frame.Message, text string) bool { return text != "" && text != "which" }},
		{"lat", every, 0, 0, func(*frame.Message, string) bool { return false }},
		{"opened", every, 0, 0, func(*frame.Message, string) bool { return false }},
		{"late", nil, 0, 0, func(*frame.Message, string) bool { return false }},
		{"' OR 1=1 -- \\", every, 0, 0, func(*frame.Message, string) bool { return false }},
	} {
		var want []frame.Message
		for i := range a.all {
			m := &a.all[i]
			text := wordOf(m)
			if c.want == nil || m.Kind == frame.KindEvent || !slices.Contains(c.groups, a.groups[m.Conv]) || m.TimeMS < c.from || c.to != 0 && m.TimeMS >= c.to || !c.want(m, text) {
				continue
			}
			want = append(want, *m)
		}
		slices.SortStableFunc(want, func(a, b frame.Message) int { return cmp.Compare(b.TimeMS, a.TimeMS) })
		for _, limit := range []int{7, 200} {
			got := found(t, q, history.Search{Words: c.words, Groups: c.groups, FromMS: c.from, ToMS: c.to, Limit: limit})
			if c.want == nil {
				continue // compared with the other implementation
			}
			if !bytes.Equal(canonical(t, got), canonical(t, want)) {
				t.Errorf("%q in %v, %d at a time: %d messages, want %d", c.words, c.groups, limit, len(got), len(want))
			}
		}
	}
}

// wordOf tells the messages of desk apart: Hello, map, which or sorry; empty for others.
func wordOf(m *frame.Message) string {
	text, ok := frame.Text(m.Body)
	switch {
	case !ok && m.Kind == frame.KindChat:
		return "map"
	case !ok || m.Kind != frame.KindChat:
		return ""
	}
	word, _, _ := bytes.Cut(text, []byte(" "))
	return string(bytes.Trim(word, ","))
}

// reports compares with what the messages say.
func (a *answers) reports(t *testing.T, q history.Queries) {
	for _, measure := range []history.Measure{history.FirstReply, history.QueueTime, history.HandleTime, history.Ratings} {
		table, err := q.Report(context.Background(), history.Report{Measure: measure, By: history.ByGroup, Groups: deskGroups[1:2]})
		if err != nil || !table.Complete || len(table.Lines) > 1 {
			t.Fatalf("%s: %+v, %v", measure, table, err)
		}
		want := a.obvious(measure, deskGroups[1])
		if len(want) == 0 != (len(table.Lines) == 0) {
			t.Fatalf("%s: %+v, want %d conversations", measure, table, len(want))
		}
		if len(want) == 0 {
			continue
		}
		line := table.Lines[0]
		if line.Key != deskGroups[1] || line.Count != uint64(len(want)) || line.P99 != slices.Max(want) || line.P50 != want[len(want)/2] {
			t.Errorf("%s: %+v, want %v", measure, line, want)
		}
	}
	if _, err := q.Report(context.Background(), history.Report{Measure: "x", By: history.ByDay}); err == nil {
		t.Error("a report that there is not")
	}
}

// obvious is the values of a measure of one group, ascending, read off the messages one conversation after another.
func (a *answers) obvious(measure history.Measure, group string) (values []uint64) {
	for conv, g := range a.groups {
		if g != group {
			continue
		}
		when := map[string]uint64{}
		for i := range a.all {
			m := &a.all[i]
			if m.Conv != conv {
				continue
			}
			var e struct {
				Event  string
				Rating uint64
			}
			name := wordOf(m)
			if m.Kind == frame.KindEvent && frame.DecodeBody(m.Body, &e) == nil {
				var body map[string]any
				_ = frame.DecodeBody(m.Body, &body)
				name = body["event"].(string)
				if name == "rated" {
					when["rating"] = uint64(reflect.ValueOf(body["rating"]).Int())
				}
			}
			if _, ok := when[name]; !ok {
				when[name] = m.TimeMS
			}
		}
		ends := map[history.Measure][2]string{history.FirstReply: {"opened", "which"}, history.QueueTime: {"opened", "assigned"}, history.HandleTime: {"assigned", "closed"}}[measure]
		if v, ok := when["rating"]; measure == history.Ratings && ok {
			values = append(values, v)
		} else if to, ok := when[ends[1]]; measure != history.Ratings && ok {
			values = append(values, to-when[ends[0]])
		}
	}
	slices.Sort(values)
	return values
}

// agree asks both the same and compares their answers.
func (a *answers) agree(t *testing.T) {
	groups := []string{deskGroups[0], deskGroups[2], "x"}
	for _, words := range []string{"order-7", "order 3", "which order", "late", "sorry it is late"} {
		s := history.Search{Words: words, Groups: groups, Limit: 9}
		if one, other := found(t, a.clickhouse, s), found(t, a.embedded, s); !bytes.Equal(canonical(t, one), canonical(t, other)) {
			t.Errorf("%q: %d messages in ClickHouse, %d in the store", words, len(one), len(other))
		}
	}
	for _, measure := range []history.Measure{history.FirstReply, history.QueueTime, history.HandleTime, history.Ratings} {
		for _, by := range []history.Dimension{history.ByAgent, history.ByGroup, history.ByDay} {
			r := history.Report{Measure: measure, By: by, Groups: groups, FromMS: startMS + 12*3600_000, ToMS: startMS + 60*3600_000}
			one, err := a.clickhouse.Report(context.Background(), r)
			other, err2 := a.embedded.Report(context.Background(), r)
			if err := errors.Join(err, err2); err != nil {
				t.Fatal(err)
			}
			for i := range min(len(one.Lines), len(other.Lines)) { // sums may be rounded otherwise
				one.Lines[i].Mean, other.Lines[i].Mean = float64(int(one.Lines[i].Mean*1000)), float64(int(other.Lines[i].Mean*1000))
			}
			if !reflect.DeepEqual(one, other) {
				t.Errorf("%s by %s:\n%+v in ClickHouse,\n%+v in the store", measure, by, one, other)
			}
		}
	}
}

// TestEmbeddedEndsInTime: an answer that would take too long says that it is not complete.
func TestEmbeddedEndsInTime(t *testing.T) {
	st, _ := openStore(t, t.TempDir())
	for seq := range uint64(3) {
		accept(t, st, chat(1, seq+1))
	}
	e := history.NewEmbedded(st, func(frame.ID) (string, error) { return "g", nil }, -time.Second)
	page, err := e.Search(context.Background(), history.Search{Words: "message", Groups: []string{"g"}, Limit: 10})
	if err != nil || page.Complete || len(page.Messages) != 1 {
		t.Errorf("%d messages, complete %v, %v", len(page.Messages), page.Complete, err)
	}
	table, err := e.Report(context.Background(), history.Report{Measure: history.Ratings, By: history.ByDay, Groups: []string{"g"}})
	if err != nil || table.Complete {
		t.Errorf("%+v, %v", table, err)
	}
}

func TestParseCursor(t *testing.T) {
	c := history.Cursor{TimeMS: startMS, Conv: convID(3), Seq: 1 << 50}
	if got, err := history.ParseCursor(c.String()); err != nil || got != c {
		t.Errorf("%v became %v, %v", c, got, err)
	}
	for _, s := range []string{"1", "1.2.3", "x." + c.Conv.String() + ".3", "1." + c.Conv.String() + ".", "01." + c.Conv.String() + ".3", "1." + c.Conv.String() + ".3.4",
		"0." + c.Conv.String() + ".3", "18446744073709551615." + c.Conv.String() + ".3"} {
		if got, err := history.ParseCursor(s); err == nil {
			t.Errorf("%q became %v", s, got)
		}
	}
}
