// Package audit reads conversations back after a run, by the server's HTTP interface, and has the oracle compare them with what was accepted: a message
// that was acknowledged and delivered, and is not in the history, is lost for whoever looks at it tomorrow.
//
// A scenario lists its conversations (oracle.Pair.Past) when its load is over; the server keeps running. The history comes from the server's disk and
// from ClickHouse, as pages give it to everybody, so what neither has is found wherever it got lost.
package audit

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"

	"github.com/switchyard-im/switchyard/bench/api"
	"github.com/switchyard-im/switchyard/bench/oracle"
	"github.com/switchyard-im/switchyard/bench/report"
	"github.com/switchyard-im/switchyard/bench/token"
)

// Config of an audit. The zero value of a field means its default.
type Config struct {
	URL     string        // of the HTTP interface, http://HOST:PORT; required
	Key     *token.Signer // signs the readers' tokens; required
	Sample  int           // conversations at most, chosen at random before the load; 0: all
	Within  time.Duration // how long what is missing, or a server that cannot answer, is waited for; default 30 s
	Readers int           // requests under way at a time; default 4
	Page    int           // messages of a page at most, 1 to api.MaxLimit; default api.MaxLimit
}

func (c Config) withDefaults() Config {
	if c.Within == 0 {
		c.Within = 30 * time.Second
	}
	if c.Readers == 0 {
		c.Readers = 4
	}
	if c.Page == 0 {
		c.Page = api.MaxLimit
	}
	return c
}

// Validate tells, before a run, what is wrong with the configuration.
func (c *Config) Validate() error {
	if c.Sample < 0 || c.Within < 0 || c.Readers < 0 || c.Page < 0 || c.Page > api.MaxLimit {
		return fmt.Errorf("audit: the sample, the time to wait and the readers must not be negative, and a page has at most %d messages", api.MaxLimit)
	}
	client, err := api.New(c.URL)
	if err == nil {
		client.Close()
	}
	return err
}

// Chosen tells which of n conversations are read back: all, or as many as the sample has, at random. Of a load that is shared (0 of 1: it is not), each part
// chooses its share of the sample among the conversations whose number modulo of is part.
func (c *Config) Chosen(n, part, of int) []bool {
	chosen := make([]bool, n)
	own := c.Sample*(part+1)/of - c.Sample*part/of
	for i, k := range rand.Perm((n - part + of - 1) / of) {
		chosen[k*of+part] = c.Sample == 0 || c.Sample >= n || i < own
	}
	return chosen
}

// Conversation is one to read back.
type Conversation struct {
	Past              *oracle.Past
	Role, User, Group string // who reads it: somebody who takes part
}

// Report is what was read. Its violations are in the ledger with all others.
type Report struct {
	Conversations int64   `json:"conversations"`
	Accepted      int64   `json:"accepted"` // messages that must be there
	Messages      int64   `json:"messages"` // that are there, with events
	Seconds       float64 `json:"seconds" merge:"max"`

	NotInHistory int64 `json:"not_in_history"`
	Duplicated   int64 `json:"duplicated"`
	Reordered    int64 `json:"reordered"`
	Altered      int64 `json:"altered"`
	Misplaced    int64 `json:"misplaced"`
	BadSequences int64 `json:"bad_sequences"`
	Unread       int64 `json:"unread"` // conversations
}

// OK tells whether the history is what it must be; of no report too.
func (r *Report) OK() bool {
	return r == nil || r.NotInHistory+r.Duplicated+r.Reordered+r.Altered+r.Misplaced+r.BadSequences+r.Unread == 0
}

// Rows are the report in a table; none of no report.
func (r *Report) Rows() []report.Row {
	if r == nil {
		return nil
	}
	return []report.Row{
		{Name: "history", Value: fmt.Sprintf("%d not in history, %d duplicated, %d reordered, %d altered, %d misplaced", r.NotInHistory, r.Duplicated, r.Reordered, r.Altered, r.Misplaced)},
		{Name: "", Value: fmt.Sprintf("%d bad sequences, %d unread; %d accepted messages looked for in %d conversations, in %.1f s", r.BadSequences, r.Unread, r.Accepted, r.Conversations, r.Seconds)},
	}
}

func (r *Report) judged(l *oracle.Ledger) {
	for kind, field := range map[oracle.Kind]*int64{
		oracle.NotInHistory: &r.NotInHistory, oracle.HistoryDuplicated: &r.Duplicated, oracle.HistoryReordered: &r.Reordered,
		oracle.HistoryAltered: &r.Altered, oracle.HistoryMisplaced: &r.Misplaced, oracle.HistoryBadSequence: &r.BadSequences, oracle.HistoryUnread: &r.Unread,
	} {
		*field = l.Count(kind)
	}
}

// again is how long a reader waits before it reads a conversation once more, unless the server names a longer time.
const again = 200 * time.Millisecond

// audit is one run of Check.
type audit struct {
	// Fixed after construction.
	cfg    Config
	client *api.Client
	until  time.Time // what is missing after this is

	mu     sync.Mutex
	todo   []Conversation // guarded by mu
	report Report         // guarded by mu
	ledger oracle.Ledger  // guarded by mu
}

// Check reads the conversations, and adds what is wrong with them to the ledger. The error is a configuration that cannot be used, or ctx's.
func Check(ctx context.Context, cfg Config, conversations []Conversation, l *oracle.Ledger) (*Report, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	client, err := api.New(cfg.URL)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	began := time.Now()
	cfg = cfg.withDefaults()
	a := &audit{cfg: cfg, client: client, todo: conversations, until: began.Add(cfg.Within)}
	var readers sync.WaitGroup
	failed := make([]error, cfg.Readers)
	for i := range cfg.Readers { // they end when nothing is left to do, or with ctx
		readers.Go(func() { failed[i] = a.work(ctx) })
	}
	readers.Wait()
	if err := errors.Join(failed...); err != nil {
		return nil, err
	}
	a.report.Seconds = time.Since(began).Seconds()
	a.report.judged(&a.ledger)
	l.Merge(&a.ledger)
	return &a.report, nil
}

// work reads conversations until none is left.
func (a *audit) work(ctx context.Context) error {
	for {
		c, ok := a.next()
		if !ok {
			return nil
		}
		signed, err := a.cfg.Key.Sign(c.Role, c.User, c.Group, time.Now(), time.Hour+a.cfg.Within)
		if err != nil {
			return err
		}
		ledger, messages, err := a.settle(ctx, &c, signed)
		if err != nil {
			return err
		}
		a.done(&c, ledger, messages)
	}
}

func (a *audit) next() (c Conversation, ok bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.todo) == 0 {
		return c, false
	}
	c, a.todo = a.todo[0], a.todo[1:]
	return c, true
}

func (a *audit) done(c *Conversation, l *oracle.Ledger, messages int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.ledger.Merge(l)
	a.report.Conversations++
	a.report.Accepted += c.Past.Accepted()
	a.report.Messages += messages
}

// atLeast is how long one conversation that cannot be read is tried, although others took all the time there was; but not longer than Config.Within.
const atLeast = 5 * time.Second

// settle reads a conversation until all is there or the time is over. What is wrong in the last reading counts: what was accepted may be on its way
// from one store to the other. The error is ctx's.
func (a *audit) settle(ctx context.Context, c *Conversation, signed string) (*oracle.Ledger, int64, error) {
	own := time.Now().Add(min(atLeast, a.cfg.Within))
	for {
		ledger := &oracle.Ledger{}
		reading := c.Past.Read(ledger)
		messages, wait, err := a.read(ctx, reading, signed)
		if ctx.Err() != nil {
			return nil, 0, ctx.Err()
		}
		until, unfinished := a.until, false
		if err != nil {
			reading.Unread(err)
			unfinished = api.Temporary(err)
			if until.Before(own) {
				until = own
			}
		} else {
			reading.Finish()
			unfinished = ledger.Count(oracle.NotInHistory) > 0
		}
		if !unfinished || time.Now().Add(wait).After(until) {
			return ledger, messages, nil
		}
		select {
		case <-ctx.Done():
			return nil, 0, ctx.Err()
		case <-time.After(wait):
		}
	}
}

// read takes the pages from the first message on, and returns how many messages and events there are. Wait is when to try again.
func (a *audit) read(ctx context.Context, r *oracle.Reading, signed string) (messages int64, wait time.Duration, err error) {
	for {
		page, err := a.client.After(ctx, signed, r.Conv(), r.Last(), a.cfg.Page)
		var answer *api.Error
		switch {
		case errors.As(err, &answer) && answer.Status == http.StatusNotFound && answer.Code != "":
			return messages, again, nil // nothing of it is there: the oracle tells what that means
		case errors.As(err, &answer):
			return messages, max(again, answer.RetryAfter), err
		case err != nil:
			return messages, again, err
		}
		last := r.Last()
		for i := range page.Messages {
			r.Message(&page.Messages[i])
		}
		messages += int64(len(page.Messages))
		if !page.More {
			return messages, again, nil
		}
		if r.Last() == last {
			return messages, again, fmt.Errorf("%w (a page after sequence %d goes no further and says that there is more)", api.ErrForeign, last)
		}
	}
}
