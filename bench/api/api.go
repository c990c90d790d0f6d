// Package api reads conversations by a server's HTTP interface (docs/api.md) with users' tokens, for scenarios and for the audit after them. Pages come
// as the frames that they are; judging them is left to the callers.
package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/switchyard-im/switchyard/frame"
)

// Limits of a request.
const (
	timeout   = 30 * time.Second
	maxAnswer = 16 << 20 // bytes; the server ends a page before 1 MiB of msgpack
	maxIdle   = 256      // connections kept for the next request
)

// MaxLimit is the most messages of a page.
const MaxLimit = frame.MaxHistory

// Client asks one server. Safe for concurrent use.
type Client struct {
	base string
	http http.Client
}

// New makes a client of the interface at a URL such as http://HOST:PORT. Close it.
func New(base string) (*Client, error) {
	u, err := url.Parse(base)
	if err != nil {
		return nil, fmt.Errorf("api: bad URL: %w", err)
	}
	if u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, fmt.Errorf("api: cannot use the URL %q: give that of the HTTP interface (api.listen), http://HOST:PORT", base)
	}
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.MaxIdleConnsPerHost = maxIdle
	return &Client{strings.TrimSuffix(base, "/"), http.Client{Transport: t, Timeout: timeout}}, nil
}

// Close ends the idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Page is some messages of a conversation, in ascending order.
type Page struct {
	Messages    []frame.Message
	More        bool   // there are more on the side to which one pages
	PartialFrom uint64 // not 0: it is complete from this sequence on only, because ClickHouse is away

	Took time.Duration // from the request to the last byte of the answer, which was not yet read then
}

// Error is an answer that is no page.
type Error struct {
	Status     int
	Code       string // such as not_found; empty if it is no answer of the interface
	Text       string
	RetryAfter time.Duration // zero: the server names no time
}

// Error implements error.
func (e *Error) Error() string {
	return fmt.Sprintf("api: the server answered %d %s: %s", e.Status, e.Code, e.Text)
}

// Temporary tells whether the same request may be answered later: the server is away or has too much to do, and says neither yes nor no.
func Temporary(err error) bool {
	var answer *Error
	if errors.As(err, &answer) {
		return answer.Status >= 500 || answer.Status == http.StatusTooManyRequests
	}
	return !errors.Is(err, ErrForeign)
}

// ErrForeign is an answer that is not what the interface gives.
var ErrForeign = errors.New("api: the answer is not a page of messages; is it the URL of api.listen?")

// Before gets the newest messages before a sequence, or with 0 the newest of all. Limit is 1 to MaxLimit.
func (c *Client) Before(ctx context.Context, token string, conv frame.ID, before uint64, limit int) (*Page, error) {
	return c.page(ctx, token, conv, "before", before, limit)
}

// After gets the oldest messages after a sequence. Limit is 1 to MaxLimit.
func (c *Client) After(ctx context.Context, token string, conv frame.ID, after uint64, limit int) (*Page, error) {
	return c.page(ctx, token, conv, "after", after, limit)
}

func (c *Client) page(ctx context.Context, token string, conv frame.ID, side string, seq uint64, limit int) (*Page, error) {
	path := fmt.Sprintf("%s/v1/conversations/%s/messages?%s=%d&limit=%d", c.base, conv, side, seq, limit)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, path, nil)
	if err != nil {
		return nil, fmt.Errorf("api: %w", err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	began := time.Now()
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, fmt.Errorf("api: %w", err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return nil, fmt.Errorf("api: %w", err)
	}
	took := time.Since(began)
	if resp.StatusCode != http.StatusOK {
		return nil, refusal(resp, text)
	}
	p, err := parsePage(text)
	if err == nil {
		p.Took = took
	}
	return p, err
}

func refusal(resp *http.Response, text []byte) *Error {
	var answer struct {
		Error struct{ Code, Text string }
	}
	seconds, _ := strconv.Atoi(resp.Header.Get("Retry-After"))
	e := &Error{Status: resp.StatusCode, RetryAfter: time.Duration(seconds) * time.Second}
	if err := json.Unmarshal(text, &answer); err != nil || answer.Error.Code == "" {
		line, _, _ := strings.Cut(strings.TrimSpace(string(text)), "\n")
		e.Text = line[:min(len(line), 200)]
		return e
	}
	e.Code, e.Text = answer.Error.Code, answer.Error.Text
	return e
}

// message is one of a page; what stands in it is as in the JSON form of its frame.
type message struct {
	Conv, Sender, ID, Body json.RawMessage
	Seq, Prev              uint64
	TimeMS                 uint64 `json:"time_ms"`
	Kind                   string
}

func parsePage(text []byte) (*Page, error) {
	var answer struct {
		Messages    *[]message
		More        bool
		PartialFrom uint64 `json:"partial_from"`
	}
	if err := json.Unmarshal(text, &answer); err != nil {
		return nil, fmt.Errorf("%w (%w)", ErrForeign, err)
	}
	if answer.Messages == nil {
		return nil, ErrForeign
	}
	p := &Page{More: answer.More, PartialFrom: answer.PartialFrom, Messages: make([]frame.Message, len(*answer.Messages))}
	for i := range *answer.Messages {
		if err := (*answer.Messages)[i].parse(&p.Messages[i]); err != nil {
			return nil, fmt.Errorf("%w (message %d: %w)", ErrForeign, i, err)
		}
	}
	return p, nil
}

var kinds = map[string]frame.Kind{"message": frame.KindChat, "event": frame.KindEvent}

// parse makes the frame anew from its fields, which the protocol's own reader then checks.
func (m *message) parse(to *frame.Message) error {
	kind, ok := kinds[m.Kind]
	if !ok {
		return fmt.Errorf("its kind is %q", m.Kind)
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "[%d,%s,%d,%d,%d,%s,%s,%d,%s]", frame.TypeMessage, m.Conv, m.Seq, m.Prev, m.TimeMS, m.Sender, m.ID, kind, m.Body)
	batch, err := frame.FromJSON(nil, b.Bytes())
	if err != nil {
		return err
	}
	_, f, _, err := frame.Next(batch)
	if err != nil {
		return err
	}
	return to.Parse(f)
}
