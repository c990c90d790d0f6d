package history

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/switchyard-im/switchyard/frame"
)

// Erasable is the store on the disk; see sink.Store.
type Erasable interface {
	Rewrite(ctx context.Context, replace func(m *frame.Message) (replacement frame.Message, ok bool)) (changed int, err error)
	RewriteStates(ctx context.Context, replace func(conv frame.ID, state []byte, open bool) (to []byte, ok bool, err error)) (changed int, err error)
}

// Shipping is what an Eraser asks of the outbox.
type Shipping interface {
	WaitShipped(ctx context.Context) error
}

// Eraser takes everything of a user out of the store, ClickHouse and the dead letters, and looks whether anything is left. Its fields are fixed; Erase is
// safe for concurrent use, but one runs at a time.
type Eraser struct {
	Store Erasable
	// State returns a conversation's state record without the user's name; false if it does not have it.
	State func(conv frame.ID, state []byte, user string) (to []byte, ok bool, err error)

	// Forget is called with conversations whose record was rewritten, so that nobody who has them in memory writes the name again; when it returns, what
	// was written before is in the store. Nil: nobody has.
	Forget func(ctx context.Context, user string, convs []frame.ID) error

	// Client, Shipper and Outbox are those of the history; all nil without ClickHouse.
	Client  *Client
	Shipper *Shipper
	Outbox  Shipping

	slot chan struct{} // one for the erasure under way
}

// NewEraser makes one without ClickHouse.
func NewEraser(store Erasable, state func(conv frame.ID, state []byte, user string) (to []byte, ok bool, err error)) *Eraser {
	return &Eraser{Store: store, State: state, slot: make(chan struct{}, 1)}
}

// Erased tells what was rewritten.
type Erased struct {
	Messages      int `json:"messages"`      // in the store: those of the user, and events that named him
	Conversations int `json:"conversations"` // in the store: records of closed ones in which he took part
	// ClickhouseMessages and ClickhouseEvents are rows, those that newer ones had replaced included.
	ClickhouseMessages uint64 `json:"clickhouse_messages"`
	ClickhouseEvents   uint64 `json:"clickhouse_events"`
	DeadLetters        int    `json:"dead_letters"`
}

// ErrErasing is why an erasure does not begin while another one is under way.
var ErrErasing = errors.New("history: another erasure is under way; wait until it is done")

// OpenError is why an erasure does not begin while the user takes part in conversations that are open.
type OpenError struct {
	Conversations []frame.ID // some of them
	Count         int
}

func (e *OpenError) Error() string {
	var ids []string
	for _, id := range e.Conversations {
		ids = append(ids, id.String())
	}
	return fmt.Sprintf("history: the user takes part in %d conversations that are open; close them first: %s", e.Count, strings.Join(ids, " "))
}

// LeftError is what an erasure ends with that has found something of the user still there when it looked.
type LeftError struct{ Messages, Conversations, Clickhouse, DeadLetters int }

func (e *LeftError) Error() string {
	return fmt.Sprintf("history: of the user %d messages and %d conversations are still in the store, %d rows in ClickHouse, and %d dead letters: he, or somebody in his closed conversations, goes on; run this again when they have left",
		e.Messages, e.Conversations, e.Clickhouse, e.DeadLetters)
}

// eraseRounds is how often an erasure begins anew because something of the user came while it ran.
const eraseRounds = 3

// listedOpen is how many conversations an OpenError lists.
const listedOpen = 20

// Erase takes out everything of the user. His messages keep their places, without their bodies and as sent by "erased"; what he did, in events, "erased"
// did. It runs beside the message path, in small steps. It may be interrupted and run again; when it returns nil, nothing of him was found any more.
func (e *Eraser) Erase(ctx context.Context, user string) (done Erased, err error) {
	what, err := newErasure(user)
	if err != nil {
		return done, err
	}
	select {
	case e.slot <- struct{}{}:
		defer func() { <-e.slot }()
	default:
		return done, ErrErasing
	}
	if err := e.checkClickhouse(ctx); err != nil { // first, so that nothing is half done
		return done, err
	}
	for round := 1; ; round++ {
		if err := e.checkOpen(ctx, &what); err != nil {
			return done, err
		}
		if err := e.round(ctx, &what, &done); err != nil {
			return done, err
		}
		left, err := e.left(ctx, &what)
		if err != nil || left == (LeftError{}) {
			return done, err
		}
		if round == eraseRounds {
			return done, &left
		}
	}
}

// checkClickhouse tells whether it is there and has its tables. A shipper that has just begun, and does not complain, may be about to make them.
func (e *Eraser) checkClickhouse(ctx context.Context) error {
	if e.Client == nil {
		return nil
	}
	for deadline := time.Now().Add(faultPatience); ; {
		err := e.Client.CheckSchema(ctx)
		if err == nil || e.Shipper.Status().Fault != nil || time.Now().After(deadline) {
			return err
		}
		if err := sleep(ctx, mutationPoll); err != nil {
			return err
		}
	}
}

// checkOpen looks for open conversations of the user.
func (e *Eraser) checkOpen(ctx context.Context, what *erasure) error {
	var open OpenError
	_, err := e.Store.RewriteStates(ctx, func(conv frame.ID, state []byte, isOpen bool) ([]byte, bool, error) {
		if !isOpen {
			return nil, false, nil
		}
		_, ok, err := e.State(conv, state, what.user)
		if ok {
			open.Count++
			if len(open.Conversations) < listedOpen {
				open.Conversations = append(open.Conversations, conv)
			}
		}
		return nil, false, err
	})
	if err == nil && open.Count > 0 {
		return &open
	}
	return err
}

// round erases once: the store, then, when all that was stored before is there, ClickHouse.
func (e *Eraser) round(ctx context.Context, what *erasure, done *Erased) error {
	n, err := e.Store.Rewrite(ctx, what.message)
	done.Messages += n
	if err != nil {
		return err
	}
	if err := e.eraseStates(ctx, what, done); err != nil || e.Client == nil {
		return err
	}
	if err := e.awaitShipped(ctx); err != nil {
		return err
	}
	messages, events, err := e.Client.erase(ctx, what)
	done.ClickhouseMessages += messages
	done.ClickhouseEvents += events
	if err != nil {
		return err
	}
	n, err = eraseDead(deadFile{Path: e.Client.cfg.DeadLetters}, what)
	done.DeadLetters += n
	return err
}

// eraseStates erases the records of closed conversations.
func (e *Eraser) eraseStates(ctx context.Context, what *erasure, done *Erased) error {
	var convs []frame.ID
	n, err := e.Store.RewriteStates(ctx, func(conv frame.ID, state []byte, open bool) (to []byte, ok bool, err error) {
		if open {
			return nil, false, nil
		}
		if to, ok, err = e.State(conv, state, what.user); ok {
			convs = append(convs, conv)
		}
		return to, ok, err
	})
	done.Conversations += n
	if err != nil || e.Forget == nil {
		return err
	}
	return e.Forget(ctx, what.user, convs)
}

// faultPatience is how long nothing may be shipped before an erasure gives up.
const faultPatience = 10 * time.Second

// awaitShipped waits until ClickHouse has what the outbox has now. If ClickHouse goes away it gives up.
func (e *Eraser) awaitShipped(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	watched := make(chan struct{})
	go func() { // until cancel; waited for below
		defer close(watched)
		for sleep(ctx, mutationPoll) == nil {
			if st := e.Shipper.Status(); st.Fault != nil && time.Since(st.Since) > faultPatience {
				cancel(st.Fault)
			}
		}
	}()
	err := e.Outbox.WaitShipped(ctx)
	if err != nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	cancel(nil)
	<-watched
	return err
}

// left counts what is still there of the user.
func (e *Eraser) left(ctx context.Context, what *erasure) (left LeftError, err error) {
	_, err = e.Store.Rewrite(ctx, func(m *frame.Message) (frame.Message, bool) { // which changes nothing, and rests as long as it works
		if _, ok := what.message(m); ok {
			left.Messages++
		}
		return frame.Message{}, false
	})
	if err != nil {
		return left, err
	}
	_, err = e.Store.RewriteStates(ctx, func(conv frame.ID, state []byte, _ bool) ([]byte, bool, error) {
		_, ok, err := e.State(conv, state, what.user)
		if ok {
			left.Conversations++
		}
		return nil, false, err
	})
	if err != nil || e.Client == nil {
		return left, err
	}
	rows, err := e.Client.left(ctx, what)
	left.Clickhouse = int(rows)
	if err != nil {
		return left, err
	}
	left.DeadLetters, err = countDead(deadFile{Path: e.Client.cfg.DeadLetters}, what)
	return left, err
}
