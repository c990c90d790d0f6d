package notify

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"time"

	"github.com/switchyard-im/switchyard/frame"
)

// Notification is what somebody is told. Its JSON is what the store keeps and, where there is no template, the body of a webhook.
type Notification struct {
	// ID is the same for each attempt, so that a receiver can tell what it has: 1 to 128 of letters, digits, '-' and '_'.
	ID string `json:"id"`
	// Type says what happened: words of small letters, digits and '_' with dots between them, as conversation.opened.
	Type string    `json:"type"`
	Time time.Time `json:"timestamp"`
	// Conv is the conversation in whose order it is; empty: in none.
	Conv string `json:"conversation,omitempty"`
	// Data is a JSON object of at most MaxData bytes. A mail needs some fields in it; see MailData.
	Data json.RawMessage `json:"data"`
}

// MaxData is the longest data of a notification, in bytes.
const MaxData = 256 << 10

// maxType is the longest type.
const maxType = 64

var (
	validID   = regexp.MustCompile(`^[A-Za-z0-9_-]{1,128}$`)
	validType = regexp.MustCompile(`^[a-z0-9_]+(\.[a-z0-9_]+)*$`)
)

// Encode returns the body for the queue.
func Encode(n Notification) ([]byte, error) {
	if err := n.validate(); err != nil {
		return nil, err
	}
	text, err := marshal(&n)
	if err != nil {
		return nil, fmt.Errorf("notify: the notification does not encode: %w", err)
	}
	return text, nil
}

// marshal is json.Marshal without the escapes that HTML would need.
func marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(v)
	return bytes.TrimSuffix(b.Bytes(), []byte{'\n'}), err
}

func (n *Notification) validate() error {
	switch {
	case !validID.MatchString(n.ID):
		return fmt.Errorf("notify: the id %.150q is not 1 to 128 of letters, digits, - and _", n.ID)
	case len(n.Type) > maxType || !validType.MatchString(n.Type):
		return fmt.Errorf("notify: the type %.80q is not at most %d of small letters, digits, _ and dots between them", n.Type, maxType)
	case len(n.Data) > MaxData:
		return fmt.Errorf("notify: the data has %d bytes, more than %d", len(n.Data), MaxData)
	case !json.Valid(n.Data) || bytes.TrimLeft(n.Data, " \t\r\n")[0] != '{':
		return errors.New("notify: the data is not a JSON object")
	}
	_, err := n.conversation()
	return err
}

func (n *Notification) conversation() (frame.ID, error) {
	if n.Conv == "" {
		return frame.ID{}, nil
	}
	id, err := frame.ParseID(n.Conv)
	if err != nil {
		return frame.ID{}, fmt.Errorf("notify: conversation: %w", err)
	}
	return id, nil
}

// decode is the inverse of Encode.
func decode(body []byte) (*Notification, error) {
	n := new(Notification)
	if err := json.Unmarshal(body, n); err != nil {
		return nil, fmt.Errorf("notify: this is not a notification: %w", err)
	}
	return n, n.validate()
}
