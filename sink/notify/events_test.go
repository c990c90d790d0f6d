package notify_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/switchyard-im/switchyard/frame"
	"github.com/switchyard-im/switchyard/sink/notify"
)

// told is what was put into lanes.
type told struct {
	lane string
	conv frame.ID
	notify.Notification
	notify.EventData
}

type lanes struct {
	t   *testing.T
	all []told
}

func (l *lanes) Notify(lane string, conv frame.ID, body []byte) {
	x := told{lane: lane, conv: conv}
	if err := json.Unmarshal(body, &x.Notification); err != nil {
		l.t.Error(err)
	}
	if err := json.Unmarshal(x.Data, &x.EventData); err != nil {
		l.t.Error(err)
	}
	l.all = append(l.all, x)
}

func newEvents(t *testing.T, subscriptions ...notify.Subscription) *notify.Events {
	t.Helper()
	e, err := notify.NewEvents(subscriptions, discard())
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func TestEvents(t *testing.T) {
	conv := convID(7)
	chat := frame.Message{Conv: conv, Seq: 2, Prev: 1, TimeMS: 1_700_000_000_123, Sender: []byte("anna"), ID: frame.ID{9}, Body: frame.AppendText(nil, "hello \"<b>")}
	opened := frame.Message{Conv: conv, Seq: 1, Kind: frame.KindEvent, Body: frame.AppendEvent(nil, "opened", "group", "sales")}
	closed := frame.Message{Conv: conv, Seq: 3, Prev: 2, Kind: frame.KindEvent, Body: frame.AppendEvent(nil, "closed")}
	strange := frame.Message{Conv: conv, Seq: 4, Prev: 3, Kind: frame.KindEvent, Body: frame.AppendEvent(nil, "No Name")}
	var frames []byte
	for _, m := range []frame.Message{opened, chat, closed, strange} {
		frames = m.Append(frames)
	}
	l := &lanes{t: t}
	e := newEvents(t, notify.Subscription{Endpoint: "all", Types: []string{"*"}}, notify.Subscription{Endpoint: "life", Types: []string{"conversation.*"}},
		notify.Subscription{Endpoint: "some", Types: []string{"message.created", "conversation.closed"}}, notify.Subscription{Endpoint: "none"})
	e.Messages(l, conv, frames)
	var got []string
	for _, x := range l.all {
		got = append(got, fmt.Sprint(x.lane, " ", x.Seq, " ", x.Type))
		if x.conv != conv || x.Conv != conv.String() || x.ID != fmt.Sprintf("msg_%s_%d", conv, x.Seq) {
			t.Errorf("%+v", x)
		}
	}
	want := []string{
		"all 1 conversation.opened", "life 1 conversation.opened",
		"all 2 message.created", "some 2 message.created",
		"all 3 conversation.closed", "life 3 conversation.closed", "some 3 conversation.closed",
		"all 4 conversation.changed", "life 4 conversation.changed",
	}
	if !slices.Equal(got, want) {
		t.Fatalf("got %q", got)
	}
	if x := l.all[0]; string(x.Body) != `{"event":"opened","group":"sales"}` || x.Sender != "" || x.MessageID != "" {
		t.Errorf("%+v", x)
	}
	if x := l.all[2]; string(x.Body) != `"hello \"<b>"` || x.Sender != "anna" || x.MessageID != (frame.ID{9}).String() || x.Time.UnixMilli() != 1_700_000_000_123 {
		t.Errorf("%+v", x)
	}
}

// TestEventsOfAnyBody: a body that is long is left out, and no body is none.
func TestEventsOfAnyBody(t *testing.T) {
	e := newEvents(t, notify.Subscription{Endpoint: "all", Types: []string{"message.created"}})
	long, err := frame.AppendBody(nil, map[string]any{"x": strings.Repeat("y", notify.MaxData)})
	if err != nil {
		t.Fatal(err)
	}
	bin, err := frame.AppendBody(nil, []byte{0, 255})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		body []byte
		want string
		long bool
	}{{long, "null", true}, {bin, `{"$bin":"AP8="}`, false}, {[]byte{0xc0}, "null", false}} {
		l := &lanes{t: t}
		m := frame.Message{Conv: convID(1), Seq: 1, Body: c.body}
		e.Messages(l, convID(1), m.Append(nil))
		if len(l.all) != 1 || string(l.all[0].Body) != c.want || l.all[0].TooLong != c.long {
			t.Errorf("%.20x: %+v", c.body, l.all)
		}
	}
}

func TestSubscriptionsAreChecked(t *testing.T) {
	for _, bad := range []string{"", "Message.created", "conversation.", "*.created", "conversation.* ", "**"} {
		if _, err := notify.NewEvents([]notify.Subscription{{Endpoint: "app", Types: []string{bad}}}, discard()); err == nil || !strings.Contains(err.Error(), "use a type") {
			t.Errorf("%q: %v", bad, err)
		}
	}
}
