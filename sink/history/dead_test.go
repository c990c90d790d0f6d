package history_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/ClickHouse/clickhouse-go/v2"

	"github.com/switchyard-im/switchyard/frame"
	"github.com/switchyard-im/switchyard/sink/history"
)

// letter is what a test looks at in a line of the file.
type letter struct {
	Error, Table, Conv, Sender, Text string
	Seq                              uint64
	TimeMS                           uint64 `json:"time_ms"`
	Frames                           []byte
}

func deadLetters(t testing.TB, cfg history.Config) (letters []letter) {
	t.Helper()
	file, err := os.Open(cfg.DeadLetters)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for lines := bufio.NewScanner(file); lines.Scan(); {
		var l letter
		if err := json.Unmarshal(lines.Bytes(), &l); err != nil {
			t.Fatalf("%s: %v", lines.Bytes(), err)
		}
		letters = append(letters, l)
	}
	return letters
}

func codeIs(fault *history.Fault, code int32) bool {
	var e *clickhouse.Exception
	return errors.As(fault.Err, &e) && e.Code == code
}

// failing waits until the shipper reports a failure.
func failing(t testing.TB, s *history.Shipper) (fault *history.Fault) {
	t.Helper()
	eventually(t, "a failure is reported", func() bool {
		fault = s.Status().Fault
		return fault != nil
	})
	return fault
}

// poisoned makes ClickHouse refuse rows of some senders, and puts 32 messages with three of those into a feed.
func poisoned(t *testing.T, c *history.Client) (feed *memoryFeed, good []byte) {
	t.Helper()
	exec(t, c.Reads(), "ALTER TABLE messages ADD CONSTRAINT no_poison CHECK NOT startsWith(sender, 'poison')")
	exec(t, c.Reads(), "ALTER TABLE conversation_events ADD CONSTRAINT no_poison CHECK agent != 'poison'")
	feed = &memoryFeed{}
	for seq := uint64(1); seq <= 32; seq += 2 {
		pair := []frame.Message{chat(1, seq), chat(1, seq+1)}
		if seq == 1 || seq == 13 || seq == 31 {
			pair[1].Sender = fmt.Appendf(nil, "poison-%d", seq+1)
			good = pair[0].Append(good)
		} else {
			good = pair[1].Append(pair[0].Append(good))
		}
		feed.put(pair...)
	}
	return feed, good
}

func TestPoisonIsBisectedOut(t *testing.T) {
	cfg := shipping(t)
	c := migrated(t, cfg)
	feed, good := poisoned(t, c)
	s, _ := run(t, c, feed)
	shipped(t, feed)
	if !bytes.Equal(stored(t, c, 1), good) {
		t.Error("the others are not all there")
	}
	var dead []string
	for _, l := range deadLetters(t, cfg) {
		if l.Table != "messages" || !strings.Contains(l.Error, "no_poison") || l.Text != fmt.Sprintf("message %d of 1", l.Seq) {
			t.Errorf("%+v", l)
		}
		dead = append(dead, l.Sender)
	}
	if got := fmt.Sprint(dead); got != "[poison-2 poison-14 poison-32]" || s.Status().Dead != 3 {
		t.Errorf("dead letters of %s; %+v", got, s.Status())
	}
}

// TestTableThatTakesNothing: when every row is refused it is not the rows. Some go to the dead letters, then nothing is shipped until somebody has mended the table.
func TestTableThatTakesNothing(t *testing.T) {
	cfg := shipping(t)
	c := migrated(t, cfg)
	exec(t, c.Reads(), "ALTER TABLE messages ADD CONSTRAINT nothing CHECK seq = 0")
	feed := &memoryFeed{}
	const rows = 150
	for seq := uint64(1); seq <= rows; seq++ {
		feed.put(chat(1, seq))
	}
	s, _ := run(t, c, feed)
	if fault := failing(t, s); fault.Class != history.ClassOperator || !strings.Contains(fault.Remedy, "constraint") {
		t.Errorf("%v", fault)
	}
	if n := len(deadLetters(t, cfg)); n != 100 {
		t.Errorf("%d dead letters", n)
	}
	exec(t, c.Reads(), "ALTER TABLE messages DROP CONSTRAINT nothing")
	shipped(t, feed)
	if done, err := c.ReplayDead(context.Background()); err != nil || done.Kept > 0 {
		t.Errorf("%+v, %v", done, err)
	}
	if got := distinct(t, c); got != rows {
		t.Errorf("%d of %d messages", got, rows)
	}
}

func TestPoisonedEvent(t *testing.T) {
	cfg := shipping(t)
	c := migrated(t, cfg)
	feed, _ := poisoned(t, c)
	event := chat(2, 1)
	event.Kind, event.Body = frame.KindEvent, frame.AppendEvent(nil, "assigned", "agent", "poison")
	feed.put(event)
	run(t, c, feed)
	shipped(t, feed)
	letters := deadLetters(t, cfg)
	if last := letters[len(letters)-1]; len(letters) != 4 || last.Table != "conversation_events" {
		t.Errorf("%+v", letters)
	}
	exec(t, c.Reads(), "ALTER TABLE conversation_events DROP CONSTRAINT no_poison")
	if _, err := c.ReplayDead(context.Background()); err != nil {
		t.Fatal(err)
	}
	if got := count(t, c, "SELECT count() FROM conversation_events WHERE agent = 'poison'"); got != 1 {
		t.Errorf("%d events", got)
	}
}

// TestReplayDead: what ClickHouse still does not want stays, what an operator mended goes, what is no dead letter is kept as it is.
func TestReplayDead(t *testing.T) {
	cfg := shipping(t)
	c := migrated(t, cfg)
	feed, good := poisoned(t, c)
	run(t, c, feed)
	shipped(t, feed)
	text, err := os.ReadFile(cfg.DeadLetters)
	if err != nil {
		t.Fatal(err)
	}
	mended := strings.Replace(string(text), `"sender":"poison-14"`, `"sender":"user-1"`, 1)
	if err := os.WriteFile(cfg.DeadLetters, []byte(mended+"garbage without an end"), 0o600); err != nil {
		t.Fatal(err)
	}
	replayed, err := c.ReplayDead(context.Background())
	if err != nil || replayed != (history.Replayed{Inserted: 1, Kept: 3}) {
		t.Fatalf("%+v, %v", replayed, err)
	}
	if letters := deadLetters(t, cfg); len(letters) != 3 || !strings.Contains(string(letters[0].Frames)+string(letters[1].Frames)+string(letters[2].Frames), "garbage without an end") {
		t.Errorf("%+v", letters)
	}

	exec(t, c.Reads(), "ALTER TABLE messages DROP CONSTRAINT no_poison")
	if replayed, err = c.ReplayDead(context.Background()); err != nil || replayed != (history.Replayed{Inserted: 2, Kept: 1}) {
		t.Fatalf("%+v, %v", replayed, err)
	}
	if got := stored(t, c, 1); len(got) <= len(good) || distinct(t, c) != 32 {
		t.Errorf("%d messages", distinct(t, c))
	}
	if _, err := os.Stat(cfg.DeadLetters + ".replaying"); err == nil {
		t.Error("the file that was replayed is still there")
	}
}

func TestReplayWithoutDeadLetters(t *testing.T) {
	c := migrated(t, shipping(t))
	if replayed, err := c.ReplayDead(context.Background()); err != nil || replayed != (history.Replayed{}) {
		t.Errorf("%+v, %v", replayed, err)
	}
}

// TestReplayInterrupted: ClickHouse fails during a replay. The letters are kept aside, new ones are written meanwhile, and the next replay takes both.
func TestReplayInterrupted(t *testing.T) {
	cfg := shipping(t)
	c := migrated(t, cfg)
	feed, _ := poisoned(t, c)
	run(t, c, feed)
	shipped(t, feed)
	exec(t, c.Reads(), "RENAME TABLE messages TO hidden")
	if _, err := c.ReplayDead(context.Background()); err == nil || !strings.Contains(err.Error(), "run it again") {
		t.Fatalf("the replay ended with %v", err)
	}
	exec(t, c.Reads(), "RENAME TABLE hidden TO messages")
	another := chat(2, 1)
	another.Sender = []byte("poison")
	feed.put(another)
	shipped(t, feed)
	exec(t, c.Reads(), "ALTER TABLE messages DROP CONSTRAINT no_poison")
	for want := range 2 {
		if replayed, err := c.ReplayDead(context.Background()); err != nil || replayed.Inserted != 3-2*want {
			t.Errorf("run %d: %+v, %v", want, replayed, err)
		}
	}
	if got := distinct(t, c); got != 33 {
		t.Errorf("%d messages", got)
	}
}

// TestUnreadableEntry: bytes in the outbox that are no messages must not stop the history.
func TestUnreadableEntry(t *testing.T) {
	cfg := shipping(t)
	c := open(t, cfg)
	feed := &memoryFeed{}
	first, last := chat(1, 1), chat(1, 3)
	feed.putEntry(history.Entry{Rows: 2, Frames: append(first.Append(nil), 0xc1, 0xc1)})
	feed.put(last)
	run(t, c, feed)
	shipped(t, feed)
	if !bytes.Equal(stored(t, c, 1), last.Append(first.Append(nil))) {
		t.Error("the others are not there")
	}
	if letters := deadLetters(t, cfg); len(letters) != 1 || !bytes.Equal(letters[0].Frames, []byte{0xc1, 0xc1}) {
		t.Errorf("%+v", letters)
	}
}

// TestDeadLettersCannotBeWritten: then nothing is shipped, since a row must not be nowhere.
func TestDeadLettersCannotBeWritten(t *testing.T) {
	cfg := shipping(t)
	c := migrated(t, cfg)
	if err := os.Mkdir(cfg.DeadLetters, 0o700); err != nil { // a directory in its place
		t.Fatal(err)
	}
	feed, _ := poisoned(t, c)
	s, _ := run(t, c, feed)
	if fault := failing(t, s); fault.Class != history.ClassOperator || !strings.Contains(fault.Error(), cfg.DeadLetters) {
		t.Errorf("%v", fault)
	}
	if err := os.Remove(cfg.DeadLetters); err != nil {
		t.Fatal(err)
	}
	shipped(t, feed)
	if got := len(deadLetters(t, cfg)); got != 3 {
		t.Errorf("%d dead letters", got)
	}
}
