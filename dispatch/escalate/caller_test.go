package escalate

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/switchyard-im/switchyard/frame"
)

// caller does what the package comment asks of the caller: it is the store, the outbox and the clock of a machine, and restarts it.
type caller struct {
	t       *testing.T
	cfg     Config
	m       *Machine
	wall    int64
	convs   map[key]*stored
	records map[key][]byte
	outbox  map[string]bool // notifications that are queued, by notificationName
	lose    bool            // refuse what is taken: the machine is about to crash
}

// stored is what the conversations' own records say of one member.
type stored struct {
	messages []Message
	acked    uint64
	closed   bool
	unsure   bool // closed, but escalate's record is not durable yet: found as open at start
}

func newCaller(t *testing.T, cfg Config) *caller {
	c := &caller{t: t, cfg: cfg, wall: 1_800_000_000_000, convs: map[key]*stored{}, records: map[key][]byte{}, outbox: map[string]bool{}}
	c.m = c.machine()
	return c
}

func (c *caller) machine() *Machine {
	m, err := New(c.cfg, c.wall)
	if err != nil {
		c.t.Fatal(err)
	}
	return m
}

func notificationName(conv frame.ID, user, step string, last uint64) string {
	return fmt.Sprintf("%s %s %s %d", name(conv), user, step, last)
}

func id(name string) (id frame.ID) {
	copy(id[:], name)
	return id
}

func name(id frame.ID) string { return strings.TrimRight(string(id[:]), "\x00") }

func (c *caller) conv(k key) *stored {
	s := c.convs[k]
	if s == nil {
		s = &stored{}
		c.convs[k] = s
	}
	return s
}

func (c *caller) sent(k key, policy string, seq uint64) {
	msg := Message{Conv: k.conv, User: k.user, Policy: policy, Seq: seq, AtMS: c.wall}
	s := c.conv(k)
	s.messages = append(s.messages, msg)
	c.m.Sent(c.wall, msg)
}

func (c *caller) ack(k key, seq uint64) {
	c.conv(k).acked = max(c.conv(k).acked, seq)
	c.m.Acked(c.wall, k.conv, k.user, seq)
}

func (c *caller) close(k key) {
	c.conv(k).closed, c.conv(k).unsure = true, true
	c.m.Closed(c.wall, k.conv, k.user)
}

func (c *caller) reopen(k key, policy string) {
	s := c.conv(k)
	s.closed = false
	head := uint64(0)
	if n := len(s.messages); n > 0 {
		head = s.messages[n-1].Seq
	}
	c.m.Reopened(c.wall, k.conv, k.user, policy, s.acked, head)
}

// take carries the effects out and returns them; it checks what must hold after every event.
func (c *caller) take() []Effect {
	c.t.Helper()
	if err := c.m.Check(); err != nil {
		c.t.Fatal(err)
	}
	var out []Effect
	for _, e := range c.m.Take() {
		out = append(out, e)
		if !c.lose {
			c.do(e)
		}
	}
	if !c.lose {
		for _, s := range c.convs {
			s.unsure = false
		}
	}
	return out
}

func (c *caller) do(e Effect) {
	k := key{e.Conv, e.User}
	n := notificationName(e.Conv, e.User, e.Step, e.Last)
	switch e.Kind {
	case Fire:
		if c.outbox[n] {
			c.t.Fatalf("%s fires twice", n)
		}
		c.outbox[n] = true
	case Cancel:
		delete(c.outbox, n)
	case Put:
		c.records[k] = bytes.Clone(e.Record)
	case Delete:
		delete(c.records, k)
	}
}

// done tells that a notification was sent.
func (c *caller) done(k key, step string, last uint64) {
	delete(c.outbox, notificationName(k.conv, k.user, step, last))
	c.m.Done(c.wall, k.conv, k.user, step, last)
}

// restart begins again from what is durable.
func (c *caller) restart() {
	c.t.Helper()
	c.m, c.lose = c.machine(), false
	for _, k := range sortedKeys(c.records) {
		if err := c.m.Restore(k.conv, k.user, c.records[k]); err != nil {
			c.t.Fatal(err)
		}
	}
	for _, k := range sortedKeys(c.convs) {
		s := c.convs[k]
		for _, msg := range s.messages {
			if (!s.closed || s.unsure) && msg.Seq > s.acked {
				c.m.Sent(c.wall, msg)
			}
		}
		c.m.Acked(c.wall, k.conv, k.user, s.acked)
		if s.unsure {
			c.m.Closed(c.wall, k.conv, k.user)
		}
	}
	c.m.Reconcile(func(conv frame.ID, user, step string, last uint64) bool {
		return c.outbox[notificationName(conv, user, step, last)]
	})
}

func sortedKeys[V any](m map[key]V) []key {
	var keys []key
	for k := range m {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(a, b key) int { return cmp.Or(bytes.Compare(a.conv[:], b.conv[:]), cmp.Compare(a.user, b.user)) })
	return keys
}

// show writes an effect as scenarios do.
func show(e Effect) string {
	who := name(e.Conv) + " " + e.User
	switch e.Kind {
	case Fire:
		return fmt.Sprintf("%s fires %s: %s", e.Channel, who, messages(e))
	case Narrow:
		return fmt.Sprintf("%s narrowed %s: %s", e.Channel, who, messages(e))
	case Cancel:
		return fmt.Sprintf("%s cancelled %s: %s", e.Channel, who, messages(e))
	case Put:
		return "record of " + who
	default:
		return "no record of " + who
	}
}

func messages(e Effect) string {
	if e.First == e.Last {
		return fmt.Sprint(e.Last)
	}
	return fmt.Sprintf("%d-%d", e.First, e.Last)
}
