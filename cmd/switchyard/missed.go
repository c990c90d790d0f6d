package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"text/template"
	"time"
	"unicode"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/switchyard-im/switchyard/dispatch"
	"github.com/switchyard-im/switchyard/dispatch/core"
	"github.com/switchyard-im/switchyard/frame"
	outward "github.com/switchyard-im/switchyard/sink/notify"
)

// missedRef names what was fired, in the data of a notification.
type missedRef struct {
	User  string `json:"user"` // with the role, as visitor/ann
	Step  string `json:"step"`
	First uint64 `json:"first"`
	Last  uint64 `json:"last"`
}

// missedData is the data of a notification that is sent. It holds what a mail needs, see notify.MailData.
type missedData struct {
	missedRef
	Group  string          `json:"group"`
	To     string          `json:"to,omitempty"`
	Name   string          `json:"name,omitempty"`
	Link   string          `json:"link,omitempty"`
	Missed []missedMessage `json:"missed"`
	More   bool            `json:"more,omitempty"` // there are others that are not listed
}

type missedMessage struct {
	Seq  uint64    `json:"seq"`
	From string    `json:"from"`
	Text string    `json:"text"`
	Time time.Time `json:"time"`
}

// Bounds of what one notification tells.
const (
	missedMax     = 50
	missedText    = 4 << 10 // bytes of one text
	missedPage    = 128 << 10
	missedAddress = 1 << 10
)

// missing makes notifications of what somebody has not acked, just before they are sent: of what is still unacked by then, with the texts that the
// store has by then. Safe for concurrent use.
type missing struct {
	ready       chan struct{} // closed by serve, which sets the rest
	center      *dispatch.Center
	store       store
	unreachable *prometheus.CounterVec
}

func newMissing(reg prometheus.Registerer) (*missing, error) {
	m := &missing{ready: make(chan struct{}), unreachable: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "switchyard_escalation_unreachable_total",
		Help: "Notifications of unacked messages that were not sent, because the channel knows no address of the recipient."}, []string{"channel"})}
	if reg == nil {
		return m, nil
	}
	return m, reg.Register(m.unreachable)
}

// serve lets notifications go; what is to be sent before waits.
func (m *missing) serve(c *dispatch.Center, s store) {
	m.center, m.store = c, s
	close(m.ready)
}

// settled tells the center that a notification does not wait any more. Before serve there is none that could.
func (m *missing) settled(n *outward.Notification) {
	select {
	case <-m.ready:
	default:
		return
	}
	conv, ref, err := parseMissed(n)
	if err == nil {
		m.center.Notified(conv, ref.User, ref.Step, ref.Last)
	}
}

func parseMissed(n *outward.Notification) (conv frame.ID, ref missedRef, err error) {
	if conv, err = frame.ParseID(n.Conv); err != nil {
		return conv, ref, err
	}
	if err := json.Unmarshal(n.Data, &ref); err != nil || ref.User == "" || ref.First > ref.Last {
		return conv, ref, errors.Join(errors.New("the data does not tell what was missed"), err)
	}
	return conv, ref, nil
}

// resolver is Endpoint.Resolve of a channel. What was acked meanwhile is left out; if that is all, nothing is sent. With need it is not sent to somebody
// whose address is not known.
func (m *missing) resolver(channel string, to recipientTemplates, need bool) func(context.Context, *outward.Notification) (*outward.Notification, error) {
	return func(ctx context.Context, n *outward.Notification) (*outward.Notification, error) {
		select {
		case <-m.ready:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		conv, ref, err := parseMissed(n)
		if err != nil {
			return nil, outward.Final(err)
		}
		acked, ok, err := m.center.Acked(conv, ref.User)
		if err != nil || !ok || acked >= ref.Last {
			return nil, err
		}
		d := missedData{missedRef: ref}
		d.First = max(d.First, acked+1)
		if err := m.read(conv, &d); err != nil || len(d.Missed) == 0 {
			return nil, err
		}
		if err := m.address(conv, &d, to); err != nil {
			return nil, err
		}
		if d.To == "" && (need || to.of(ref.User) != nil) {
			m.unreachable.WithLabelValues(channel).Inc()
			return nil, nil
		}
		return d.notification(n)
	}
}

func (d *missedData) notification(n *outward.Notification) (*outward.Notification, error) {
	data, err := json.Marshal(d)
	for err == nil && len(data) > outward.MaxData && len(d.Missed) > 1 { // escapes make it longer
		d.Missed, d.More = d.Missed[:len(d.Missed)/2], true
		data, err = json.Marshal(d)
	}
	out := *n
	out.Data = data
	return &out, err
}

// of is the template for a user, who is named with the role.
func (t recipientTemplates) of(user string) *template.Template {
	if strings.HasPrefix(user, frame.RoleVisitor.String()+"/") {
		return t.visitors
	}
	return t.staff
}

// read fills in what others wrote.
func (m *missing) read(conv frame.ID, d *missedData) error {
	_, self, _ := strings.Cut(d.User, "/")
	for after := d.First - 1; after < d.Last; {
		frames, last, n, err := m.store.ReadAfter(nil, conv, after, d.Last, 512, missedPage)
		if errors.Is(err, dispatch.ErrGone) {
			return outward.Final(err)
		}
		if err != nil {
			return err
		}
		if n == 0 {
			return fmt.Errorf("the messages after %d of conversation %s are not there", after, conv)
		}
		after = last
		err = eachMessage(frames, func(msg *frame.Message) {
			switch {
			case msg.Kind != frame.KindChat || string(msg.Sender) == self:
			case len(d.Missed) == missedMax:
				d.More = true
			default:
				d.Missed = append(d.Missed, missedMessage{
					Seq: msg.Seq, From: string(msg.Sender), Text: cut(plainText(msg.Body)), Time: time.UnixMilli(int64(msg.TimeMS)).UTC()})
			}
		})
		if err != nil || d.More {
			return err
		}
	}
	return nil
}

func eachMessage(frames []byte, fn func(*frame.Message)) error {
	for len(frames) > 0 {
		var msg frame.Message
		_, f, rest, err := frame.Next(frames)
		if err == nil {
			err = msg.Parse(f)
		}
		if err != nil {
			return err
		}
		fn(&msg)
		frames = rest
	}
	return nil
}

// plainText is the body if it is a text, or its "text" if it is an object that has one, else its JSON.
func plainText(body []byte) string {
	var v any
	if frame.DecodeBody(body, &v) == nil {
		if text, ok := v.(string); ok {
			return text
		}
		if fields, ok := v.(map[string]any); ok {
			if text, ok := fields["text"].(string); ok {
				return text
			}
		}
	}
	text, err := frame.AppendBodyJSON(nil, body)
	if err != nil {
		return ""
	}
	return string(text)
}

// cut shortens a long text, between two characters.
func cut(text string) string {
	if len(text) <= missedText {
		return text
	}
	return strings.ToValidUTF8(text[:missedText], "") + "..."
}

// address fills in where the recipient is reached, and where to read on.
func (m *missing) address(conv frame.ID, d *missedData, to recipientTemplates) error {
	state, tail, ok, err := m.store.LoadConversation(conv, 1)
	if err != nil || !ok {
		return err
	}
	access, err := core.DecodeAccess(conv, state, tail)
	if err != nil {
		return err
	}
	role, user, _ := strings.Cut(d.User, "/")
	d.Group = access.Group()
	attributes, err := m.attributes(conv, role)
	if err != nil {
		return err
	}
	if name := attributes["name"]; !strings.ContainsFunc(name, unicode.IsControl) {
		d.Name = name
	}
	fields := recipientFields(user, role, d.Group, conv.String(), attributes)
	if d.To, err = execute(to.of(d.User), fields); err != nil {
		return err
	}
	d.Link, err = execute(to.link, fields)
	return err
}

// recipientFields are what the templates for addresses and links are over.
func recipientFields(user, role, group, conversation string, attributes map[string]string) map[string]any {
	return map[string]any{"user": user, "role": role, "group": group, "conversation": conversation, "attributes": attributes}
}

// attributes are those that the visitor gave when the conversation was opened.
func (m *missing) attributes(conv frame.ID, role string) (map[string]string, error) {
	if role != frame.RoleVisitor.String() {
		return nil, nil
	}
	frames, _, _, err := m.store.ReadAfter(nil, conv, 0, 1, 1, missedPage)
	if errors.Is(err, dispatch.ErrGone) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var opened struct {
		Attributes map[string]string `msgpack:"attributes"`
	}
	err = eachMessage(frames, func(msg *frame.Message) { _ = frame.DecodeBody(msg.Body, &opened) }) // of another form: no attributes
	return opened.Attributes, err
}

func execute(t *template.Template, fields map[string]any) (string, error) {
	if t == nil {
		return "", nil
	}
	var out strings.Builder
	if err := t.Execute(&out, fields); err != nil {
		return "", outward.Final(err)
	}
	if out.Len() > missedAddress {
		return "", outward.Final(fmt.Errorf("the address or the link has %d bytes, more than %d", out.Len(), missedAddress))
	}
	return strings.TrimSpace(out.String()), nil
}
