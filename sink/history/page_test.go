package history_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/switchyard-im/switchyard/frame"
	"github.com/switchyard-im/switchyard/sink/history"
)

const monthMS = 31 * 24 * 3600 * 1000

// longConversation has n messages over three months and two epochs.
func longConversation(conv, n int) []frame.Message {
	all := make([]frame.Message, n)
	prev := uint64(0)
	for i := range all {
		m := chat(conv, uint64(i+1))
		if i >= n/2 {
			m.Seq = frame.Sequence(1, uint64(i+1))
		}
		m.Prev, m.TimeMS = prev, uint64(startMS+i*3*monthMS/n)
		m.Body = frame.AppendText(nil, fmt.Sprintf("message %d of %d %s", i, conv, bytes.Repeat([]byte("x"), i%40)))
		all[i], prev = m, m.Seq
	}
	return all
}

// between is what a page may hold: the messages with after < seq < before.
func between(all []frame.Message, after, before uint64) (found []frame.Message) {
	for _, m := range all {
		if m.Seq > after && m.Seq < before {
			found = append(found, m)
		}
	}
	return found
}

// bounded encodes as many messages from the first on as fit, and the first in any case.
func bounded(messages []frame.Message, maxCount, maxBytes int) (frames []byte, count int) {
	for _, m := range messages {
		one := m.Append(nil)
		if count == maxCount || count > 0 && len(frames)+len(one) > maxBytes {
			break
		}
		frames = append(frames, one...)
		count++
	}
	return frames, count
}

// TestPagesAreTheMessages compares random pages of a conversation in ClickHouse with the obvious answer. Rows are there twice, some were edited
// since, some are gone, and they lie in several partitions.
func TestPagesAreTheMessages(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	c := open(t, shipping(t))
	feed := &memoryFeed{}
	all := longConversation(1, 500)
	for part := range slices.Chunk(all, 50) {
		feed.put(part...)
		feed.put(chat(2, uint64(part[0].Seq))) // another conversation beside it
	}
	feed.put(all[100:120]...) // again, as after a crash
	run(t, c, feed)
	shipped(t, feed)
	for i := 0; i < len(all); i += 7 {
		all[i].Body = frame.AppendText(nil, fmt.Sprint("edited ", i))
		feed.put(all[i])
	}
	shipped(t, feed)
	ctx := context.Background()
	for range 60 {
		edges := []uint64{0, 1, uint64(rnd.IntN(300)), all[rnd.IntN(len(all))].Seq, all[rnd.IntN(len(all))].Seq + 1, all[len(all)-1].Seq + 1}
		after, before := edges[rnd.IntN(len(edges))], edges[rnd.IntN(len(edges))]
		maxCount, maxBytes := 1+rnd.IntN(60), 1+rnd.IntN(8000)
		wanted, wantCount := bounded(between(all, after, before), maxCount, maxBytes)
		frames, count, err := c.PageAfter(ctx, []byte("x"), convID(1), after, before, maxCount, maxBytes)
		if err != nil || count != wantCount || !bytes.Equal(frames[1:], wanted) {
			t.Fatalf("after %d before %d, %d messages, %d bytes: got %d, want %d, %v", after, before, maxCount, maxBytes, count, wantCount, err)
		}
		limit := before
		if limit == 0 {
			limit = math.MaxUint64 // no bound
		}
		older := between(all, 0, limit)
		slices.Reverse(older)
		_, wantCount = bounded(older, maxCount, maxBytes)
		newest := slices.Clone(older[:wantCount])
		slices.Reverse(newest)
		wanted, _ = bounded(newest, wantCount, math.MaxInt)
		frames, count, more, err := c.PageBefore(ctx, []byte("x"), convID(1), before, maxCount, maxBytes)
		if err != nil || count != wantCount || more != (wantCount < len(older)) || !bytes.Equal(frames[1:], wanted) {
			t.Fatalf("before %d, %d messages, %d bytes: got %d, more %v, want %d of %d, %v", before, maxCount, maxBytes, count, more, wantCount, len(older), err)
		}
	}
}

// TestPagesOfDeletedMessages: what was deleted is not on a page, and the page is filled with older ones.
func TestPagesOfDeletedMessages(t *testing.T) {
	c := open(t, shipping(t))
	feed := &memoryFeed{}
	all := longConversation(1, 100)
	feed.put(all...)
	run(t, c, feed)
	shipped(t, feed)
	exec(t, c.Reads(), "INSERT INTO messages (conv_id, seq, sent_at, version, deleted) SELECT conv_id, seq, sent_at, 1000, 1 FROM messages WHERE seq > 2 AND seq < 1000000000")
	kept := append(slices.Clone(all[:2]), all[50:]...)
	want, _ := bounded(kept[:3], 3, math.MaxInt)
	if frames, count, err := c.PageAfter(context.Background(), nil, convID(1), 0, math.MaxUint64, 3, math.MaxInt); err != nil || count != 3 || !bytes.Equal(frames, want) {
		t.Errorf("%d messages, %v", count, err)
	}
	want, _ = bounded(kept[:3], 3, math.MaxInt)
	if frames, count, more, err := c.PageBefore(context.Background(), nil, convID(1), kept[3].Seq, 3, math.MaxInt); err != nil || count != 3 || more || !bytes.Equal(frames, want) {
		t.Errorf("%d messages, more %v, %v", count, more, err)
	}
}

// TestPageWithoutClickhouse: an error that says what to do, and no page.
func TestPageWithoutClickhouse(t *testing.T) {
	c := open(t, history.Config{Addresses: []string{"127.0.0.1:1"}, DialTimeout: 100 * time.Millisecond})
	_, _, err := c.PageAfter(context.Background(), nil, convID(1), 0, 100, 3, math.MaxInt)
	var fault *history.Fault
	if !errors.As(err, &fault) || fault.Class != history.ClassTransient {
		t.Errorf("%v", err)
	}
}

// BenchmarkPage reads pages of 50 from random places of a conversation of a million messages, and tells the 99th percentile.
func BenchmarkPage(b *testing.B) {
	const messages = 1_000_000
	c := migrated(b, inDatabase(b))
	exec(b, c.Reads(), `INSERT INTO messages (conv_id, seq, prev, sent_at, sender, text, version)
		SELECT toUUID('`+convID(1).String()+`'), number + 1, number, fromUnixTimestamp64Milli(toInt64(`+fmt.Sprint(startMS)+` + number * 5000)), 'ann', concat('message ', toString(number), repeat(' words', number % 20)), 1
		FROM numbers(`+fmt.Sprint(messages)+`)`)
	rnd := rand.New(rand.NewPCG(1, 1))
	var times []time.Duration
	b.ResetTimer()
	for range b.N {
		begin := time.Now()
		_, count, _, err := c.PageBefore(context.Background(), nil, convID(1), 51+uint64(rnd.IntN(messages-51)), 50, 1<<20)
		if err != nil || count != 50 {
			b.Fatal(count, err)
		}
		times = append(times, time.Since(begin))
	}
	slices.Sort(times)
	b.ReportMetric(float64(times[len(times)*99/100].Microseconds()), "p99-us")
}
