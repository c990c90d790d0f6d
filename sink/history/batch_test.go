package history

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/switchyard-im/switchyard/frame"
)

func testMessage(conv byte, seq uint64, text string) frame.Message {
	return frame.Message{Conv: frame.ID{conv}, Seq: seq, TimeMS: minTimeMS, Body: frame.AppendText(nil, text)}
}

func batchOf(entries ...[]frame.Message) *batch {
	b := new(batch)
	b.reset("source")
	for i, messages := range entries {
		var frames []byte
		for _, m := range messages {
			frames = m.Append(frames)
		}
		b.add(Entry{Number: uint64(i + 1), Rows: len(messages), Frames: frames})
	}
	b.finish()
	return b
}

// TestMergeAgainstObvious: of the rows of one message the last one stays, and all messages stay.
func TestMergeAgainstObvious(t *testing.T) {
	seed := rand.Uint64()
	random := rand.New(rand.NewPCG(seed, 0))
	for range 50 {
		var entries [][]frame.Message
		want := map[rowKey]string{}
		for e := range 1 + random.IntN(10) {
			var messages []frame.Message
			for range random.IntN(10) {
				m := testMessage(byte(1+random.IntN(3)), uint64(1+random.IntN(5)), fmt.Sprint(e, random.Uint64()))
				text, _ := frame.Text(m.Body)
				want[rowKey{m.Conv, m.Seq}] = fmt.Sprint(e+1, string(text))
				messages = append(messages, m)
			}
			entries = append(entries, messages)
		}
		got := map[rowKey]string{}
		b := batchOf(entries...)
		for _, r := range b.rows {
			text, _ := frame.Text(r.Body)
			got[rowKey{r.Conv, r.Seq}] = fmt.Sprint(r.Version, string(text))
		}
		if fmt.Sprint(got) != fmt.Sprint(want) || len(b.rows) != len(want) {
			t.Fatalf("seed %d: got %v, want %v", seed, got, want)
		}
	}
}

func TestTokenNamesTheContents(t *testing.T) {
	one := []frame.Message{testMessage(1, 1, "a")}
	token := batchOf(one).token
	if !strings.HasPrefix(token, "source-1-1-1-") || batchOf(one).token != token {
		t.Errorf("token %q, and again %q", token, batchOf(one).token)
	}
	tokens := []string{token, halfToken(token, 0), halfToken(token, 1)}
	for _, other := range [][][]frame.Message{{{testMessage(1, 1, "b")}}, {one, nil}, {one, one}, {{testMessage(1, 2, "a")}}} {
		tokens = append(tokens, batchOf(other...).token)
	}
	slices.Sort(tokens)
	if distinct := slices.Compact(slices.Clone(tokens)); len(distinct) != len(tokens) {
		t.Errorf("some are equal: %q", tokens)
	}
}

// TestMemoryOfALargeBatchIsLetGo: after an outage the batches are large, and then small for days.
func TestMemoryOfALargeBatchIsLetGo(t *testing.T) {
	var many []frame.Message
	for seq := range uint64(20_000) {
		many = append(many, testMessage(1, seq+1, strings.Repeat("x", 100)))
	}
	b := batchOf(many)
	var c messageColumns
	c.fill(b.rows)
	held := cap(b.frames)
	for range 2 { // the first one finds that little of much was used
		b.reset("source")
		one := testMessage(1, 1, "x")
		b.add(Entry{Number: 1, Rows: 1, Frames: one.Append(nil)})
		b.finish()
		c.fill(b.rows)
	}
	if cap(b.frames) > held/100 || cap(b.rows) > 100 || cap(c.text) > 100 || cap(c.conv) > 100 {
		t.Errorf("still held: %d bytes of %d, %d rows, %d texts", cap(b.frames), held, cap(b.rows), cap(c.text))
	}
}

// TestRowsDoNotAllocate: a batch of a usual size takes no memory when it has had one before, but for its token.
func TestRowsDoNotAllocate(t *testing.T) {
	var frames []byte
	for seq := range uint64(1000) {
		m := testMessage(1, seq+1, "hello")
		frames = m.Append(frames)
	}
	b, c := new(batch), new(messageColumns)
	if n := testing.AllocsPerRun(10, func() {
		b.reset("source")
		b.add(Entry{Number: 1, Rows: 1000, Frames: frames})
		b.finish()
		c.fill(b.rows)
	}); n > 20 {
		t.Errorf("%v allocations for 1,000 rows", n)
	}
}

// TestAgeOfTheFuture: after the clock was set back nothing waits until it has caught up.
func TestAgeOfTheFuture(t *testing.T) {
	now := time.UnixMilli(minTimeMS)
	for oldest, want := range map[uint64]time.Duration{minTimeMS - 300: 300 * time.Millisecond, minTimeMS: 0, minTimeMS + 3_600_000: math.MaxInt64} {
		if b := (&batch{oldestMS: oldest}); b.age(now) != want {
			t.Errorf("the age of %d is %v, want %v", oldest, b.age(now), want)
		}
	}
}
