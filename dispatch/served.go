package dispatch

import (
	"context"
	"errors"
	"time"

	"github.com/switchyard-im/switchyard/dispatch/core"
	"github.com/switchyard-im/switchyard/dispatch/desk"
)

// Who served a visitor last is kept by the shards, and here it is forgotten: what is too long ago, and beyond as many as the desk remembers the oldest. Between
// two looks as much as comes is added, about 100 bytes each.
const (
	servedEvery  = 10 * time.Minute
	servedRecent = 2 * time.Minute // a shard may still write what is not older than this under the same key
	servedAtOnce = 2000            // are removed in one transaction
)

// forgetServed is a goroutine; it ends when quit is closed.
func (c *Center) forgetServed() {
	t := time.NewTicker(servedEvery)
	defer t.Stop()
	for {
		if err := c.forgetPast(); err != nil {
			c.log.Warn("dispatch: who served visitors long ago could not be forgotten; it is tried again", "after", servedEvery, "err", err)
		}
		select {
		case <-c.quit:
			return
		case <-t.C:
		}
	}
}

// forgetPast removes all that does not count any more, unless the center stops.
func (c *Center) forgetPast() error {
	for {
		select {
		case <-c.quit:
			return nil
		default:
		}
		if more, err := c.forgetSome(time.Now().UnixMilli(), desk.StickyMost); !more || err != nil {
			return err
		}
	}
}

// forgetSome removes some of what does not count any more; more tells that there may be more of it.
func (c *Center) forgetSome(nowMS int64, most int) (more bool, err error) {
	cfg, counting := c.cfg.desk(), 0
	var past, oldest []string
	err = c.store.Memos(core.ServedMemos, func(key string, value []byte) error {
		s, err := core.DecodeServed(key, value)
		counts := cfg.Remembers(s.Group, s.EndedMS, nowMS)
		if counts {
			counting++
		}
		switch {
		case err != nil || s.EndedMS > nowMS-servedRecent.Milliseconds():
			return err
		case !counts && len(past) < servedAtOnce:
			past = append(past, key)
		case counts && len(oldest) < servedAtOnce:
			oldest = append(oldest, key)
		}
		return nil
	})
	if err != nil {
		return false, err
	}
	oldest = oldest[:min(len(oldest), max(counting-most, 0))]
	err = c.removeMemos(append(past, oldest...))
	return err == nil && max(len(past), len(oldest)) == servedAtOnce, err
}

// removeMemos waits until they are gone.
func (c *Center) removeMemos(keys []string) error {
	if len(keys) == 0 {
		return nil
	}
	tx := c.store.Begin(c.store.Generation())
	for _, key := range keys {
		tx.Memo(key, nil)
	}
	done := make(settled, 1)
	tx.Commit(done)
	return <-done
}

// settled is a Completion that somebody waits for; capacity 1.
type settled chan error

func (s settled) Committed(err error) { s <- err }

// errEnough ends a read of memos.
var errEnough = errors.New("enough")

// forgetUser takes everything about a user out of the memos and the desk.
func (c *Center) forgetUser(ctx context.Context, user string) error {
	if err := c.removeMemos([]string{core.StatusMemos + user, core.CapacityMemos + user}); err != nil {
		return err
	}
	for more := true; more; {
		var keys []string
		err := c.store.Memos(core.ServedMemos, func(key string, value []byte) error {
			s, err := core.DecodeServed(key, value)
			if err == nil && (s.Visitor == user || s.Agent == user) {
				keys = append(keys, key)
			}
			if err == nil && len(keys) == servedAtOnce {
				return errEnough
			}
			return err
		})
		if more = errors.Is(err, errEnough); err == nil || more {
			err = c.removeMemos(keys)
		}
		if err = errors.Join(err, ctx.Err()); err != nil {
			return err
		}
	}
	return c.ask(ctx, func(d *desk.Desk) { d.ForgetUser(user) })
}
