package history_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/google/uuid"

	"github.com/switchyard-im/switchyard/frame"
	"github.com/switchyard-im/switchyard/sink"
	"github.com/switchyard-im/switchyard/sink/history"
)

// shipping is a configuration that ships at once, with its tables in place.
func shipping(t testing.TB) history.Config {
	t.Helper()
	cfg := inDatabase(t)
	cfg.Migrate = true
	cfg.BatchDelay = time.Millisecond
	cfg.DeadLetters = filepath.Join(t.TempDir(), "dead.jsonl")
	return cfg
}

func convID(n int) (id frame.ID) {
	id[0] = 1
	binary.BigEndian.PutUint64(id[8:], uint64(n))
	return id
}

// chat is the message seq of a conversation; its contents follow from both.
func chat(conv int, seq uint64) frame.Message {
	id := convID(conv)
	id[1] = byte(seq)
	return frame.Message{
		Conv: convID(conv), Seq: seq, Prev: seq - 1, TimeMS: startMS + seq, Sender: fmt.Appendf(nil, "user-%d", conv),
		ID: id, Body: frame.AppendText(nil, fmt.Sprintf("message %d of %d", seq, conv)),
	}
}

const startMS = 1_790_000_000_000 // in 2026

// stored reads the messages of a conversation back as the frames that they were.
func stored(t testing.TB, c *history.Client, conv int) (frames []byte) {
	t.Helper()
	rows, err := c.Reads().Query(context.Background(),
		"SELECT seq, prev, toUnixTimestamp64Milli(sent_at), sender, client_id, kind, text, body FROM messages FINAL WHERE conv_id = ? ORDER BY seq",
		uuid.UUID(convID(conv)))
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		frames = appendStored(t, frames, convID(conv), rows)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return frames
}

func appendStored(t testing.TB, dst []byte, conv frame.ID, rows driver.Rows) []byte {
	t.Helper()
	var (
		m          = frame.Message{Conv: conv}
		at         int64
		sender     string
		id         uuid.UUID
		kind       uint8
		text, body string
	)
	if err := rows.Scan(&m.Seq, &m.Prev, &at, &sender, &id, &kind, &text, &body); err != nil {
		t.Fatal(err)
	}
	m.TimeMS, m.Sender, m.ID, m.Kind = uint64(at), []byte(sender), frame.ID(id), frame.Kind(kind)
	m.Body = []byte(body)
	if body == "" {
		m.Body = frame.AppendText(nil, text)
	}
	return m.Append(dst)
}

func count(t testing.TB, c *history.Client, query string) uint64 {
	t.Helper()
	return scan[uint64](t, c.Reads(), query)
}

// raw and distinct are how many rows of messages there are before and after the merge of those of one message.
func raw(t testing.TB, c *history.Client) uint64 { return count(t, c, "SELECT count() FROM messages") }
func distinct(t testing.TB, c *history.Client) uint64 {
	return count(t, c, "SELECT count() FROM messages FINAL")
}

func TestShippedMessagesComeBackAsTheyWere(t *testing.T) {
	c := open(t, shipping(t))
	object, err := frame.AppendBody(nil, map[string]any{"card": "invoice", "lines": []any{"one", 2, nil, true}})
	if err != nil {
		t.Fatal(err)
	}
	odd := chat(1, 3)
	odd.Body, odd.ID, odd.Sender = object, frame.ID{}, nil
	huge := chat(1, 4)
	huge.Body = frame.AppendText(nil, bytes.Repeat([]byte("x"), 100_000))
	empty := chat(1, frame.Sequence(1, 1))
	empty.Prev, empty.Body = 4, nil
	longHead := chat(1, frame.Sequence(1, 2))
	longHead.Body = append([]byte{0xda, 0, 2}, "hi"...)
	messages := []frame.Message{chat(1, 1), chat(1, 2), odd, huge, empty, longHead}
	var want []byte
	for _, m := range messages {
		want = m.Append(want)
	}

	feed := &memoryFeed{}
	feed.put(messages[:2]...)
	feed.put(messages[2:]...)
	run(t, c, feed)
	shipped(t, feed)
	if got := stored(t, c, 1); !bytes.Equal(got, want) {
		t.Errorf("got  %x\nwant %x", got, want)
	}
	if got := count(t, c, "SELECT version FROM messages WHERE seq = 2"); got != 1 {
		t.Errorf("version %d of a row of entry 1", got)
	}
}

func TestEventsAreInBothTables(t *testing.T) {
	c := open(t, shipping(t))
	rated := chat(7, 2)
	rated.Sender, rated.ID, rated.Kind = nil, frame.ID{}, frame.KindEvent
	var err error
	if rated.Body, err = frame.AppendBody(nil, map[string]any{"event": "rated", "agent": "a1", "by": "v1", "rating": 4, "comment": "fine", "group": "sales"}); err != nil {
		t.Fatal(err)
	}
	feed := &memoryFeed{}
	feed.put(chat(7, 1), rated, chat(7, 3))
	run(t, c, feed)
	shipped(t, feed)
	if got := distinct(t, c); got != 3 {
		t.Errorf("%d messages", got)
	}
	got := scan[string](t, c.Reads(), "SELECT concatWithSeparator(',', event, agent, actor, toString(rating), comment, group_name, toString(seq), toString(toUnixTimestamp64Milli(at))) FROM conversation_events FINAL")
	if want := fmt.Sprintf("rated,a1,v1,4,fine,sales,2,%d", startMS+2); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// TestLaterRowsReplaceEarlierOnes: within a batch and across batches. sent_at stays, so both are in one partition.
func TestLaterRowsReplaceEarlierOnes(t *testing.T) {
	c := open(t, shipping(t))
	feed := &memoryFeed{}
	feed.put(chat(1, 1), chat(1, 2))
	_, stop := run(t, c, feed)
	shipped(t, feed)
	stop()
	first, second := chat(1, 1), chat(1, 1)
	first.Body = frame.AppendText(nil, "edited once")
	second.Body = frame.AppendText(nil, "edited twice")
	feed.put(first)
	feed.put(second)
	run(t, c, feed)
	shipped(t, feed)
	if got := raw(t, c); got > 3 { // the background may have merged some
		t.Errorf("%d rows: the two edits of one batch were not merged", got)
	}
	last := chat(1, 2)
	if got := stored(t, c, 1); !bytes.Equal(got, last.Append(second.Append(nil))) {
		t.Errorf("got %x", got)
	}
}

func TestBatchesEndAtTheirBounds(t *testing.T) {
	cfg := shipping(t)
	cfg.BatchRows = 10
	cfg.BatchBytes = 2000
	c := migrated(t, cfg)
	feed := &memoryFeed{}
	for e := range uint64(4) { // 4 rows each: 2 entries fit
		feed.put(chat(1, 4*e+1), chat(1, 4*e+2), chat(1, 4*e+3), chat(1, 4*e+4))
	}
	for e := range uint64(3) { // 1,000 bytes each: 1 fits behind the last of the rows, then 2
		m := chat(2, e+1)
		m.Body = frame.AppendText(nil, bytes.Repeat([]byte("x"), 900))
		feed.put(m)
	}
	var many []frame.Message
	for seq := range uint64(25) { // more than fits anywhere: alone
		many = append(many, chat(3, seq+1))
	}
	feed.put(many...)
	run(t, c, feed)
	shipped(t, feed)
	if got, want := fmt.Sprint(feed.freezes), "[{1 2} {3 5} {6 7} {8 8}]"; got != want {
		t.Errorf("batches %s, want %s", got, want)
	}
	if got := distinct(t, c); got != 16+3+25 {
		t.Errorf("%d messages", got)
	}
}

func TestBatchWaitsForItsDelay(t *testing.T) {
	cfg := shipping(t)
	cfg.BatchDelay = time.Hour
	cfg.BatchRows = 3
	c := migrated(t, cfg)
	feed := &memoryFeed{}
	feed.put(chat(1, 1))
	s, _ := run(t, c, feed)
	time.Sleep(50 * time.Millisecond)
	if len(feed.freezes) != 0 || s.Status().Backlog.Rows != 1 {
		t.Fatalf("a batch was sent before its time: %v", feed.freezes)
	}
}

// TestReplayAfterRestart: a frozen range that was inserted but not noted as shipped is there once after a restart.
func TestReplayAfterRestart(t *testing.T) {
	c := migrated(t, shipping(t))
	exec(t, c.Reads(), "SYSTEM STOP MERGES messages") // so that a second copy would be seen
	feed := &memoryFeed{}
	feed.put(chat(1, 1), chat(1, 2))
	feed.put(chat(1, 3))
	before := &crashingFeed{memoryFeed: feed, crashed: make(chan struct{})}
	_, stop := run(t, c, before)
	<-before.crashed
	stop()
	feed.put(chat(1, 4)) // after the restart the batch must not grow
	run(t, c, feed)
	shipped(t, feed)
	if raw, distinct := raw(t, c), distinct(t, c); raw != 4 || distinct != 4 {
		t.Errorf("%d rows, %d messages; want 4 of each", raw, distinct)
	}
	if got, want := feed.freezes[len(feed.freezes)-1], (history.Range{First: 3, Last: 3}); got != want {
		t.Errorf("the rest was range %v, want %v", got, want)
	}
}

// TestTokenWithoutItsRows: ClickHouse notes a token before it has the rows, so one that was killed may know the token alone. What is sent again after a restart is
// not taken for there because of that.
func TestTokenWithoutItsRows(t *testing.T) {
	c := migrated(t, shipping(t))
	feed := &memoryFeed{}
	feed.put(chat(1, 1), chat(1, 2))
	before := &crashingFeed{memoryFeed: feed, crashed: make(chan struct{})}
	_, stop := run(t, c, before)
	<-before.crashed
	stop()
	exec(t, c.Reads(), "ALTER TABLE messages DELETE WHERE 1 SETTINGS mutations_sync = 2") // the token stays
	run(t, c, feed)
	shipped(t, feed)
	if got := distinct(t, c); got != 2 {
		t.Errorf("%d messages, not 2", got)
	}
}

// crashingFeed is a feed of a process that ends between the insert and Shipped.
type crashingFeed struct {
	*memoryFeed
	crashed chan struct{}
}

func (f *crashingFeed) Shipped(ctx context.Context, r history.Range) error {
	close(f.crashed)
	<-ctx.Done()
	return ctx.Err()
}

// TestFeedThatFails: the store is opened again after a failed write; shipping goes on after that.
func TestFeedThatFails(t *testing.T) {
	c := open(t, shipping(t))
	feed := &memoryFeed{fail: errors.New("the store is unavailable")}
	feed.put(chat(1, 1))
	run(t, c, feed)
	shipped(t, feed)
	if got := distinct(t, c); got != 1 {
		t.Errorf("%d messages", got)
	}
}

func TestGapsAreRecorded(t *testing.T) {
	c := open(t, shipping(t))
	feed := &memoryFeed{}
	feed.put(chat(1, 1))
	feed.putEntry(history.Entry{Gap: &sink.Gap{Rows: 1000, FromMS: startMS, ToMS: startMS + 5000}})
	feed.put(chat(1, 2))
	run(t, c, feed)
	shipped(t, feed)
	if got := count(t, c, "SELECT sum(lost * 1000000 + toUInt64(date_diff('ms', from_at, to_at))) FROM history_gaps FINAL WHERE source = '0123456789abcdef' AND number = 2"); got != 1000*1000000+5000 {
		t.Errorf("the gap is %d", got)
	}
	if got := distinct(t, c); got != 2 {
		t.Errorf("%d messages", got)
	}
}

func TestNewShipperRefusesWhatCannotWork(t *testing.T) {
	cfg := shipping(t)
	for _, path := range []string{"", "/does/not/exist/dead.jsonl"} {
		cfg.DeadLetters = path
		if _, err := history.NewShipper(open(t, cfg), &memoryFeed{}); err == nil {
			t.Errorf("dead letters in %q were accepted", path)
		}
	}
}
