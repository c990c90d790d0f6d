package dispatch

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/switchyard-im/switchyard/dispatch/auth"
	"github.com/switchyard-im/switchyard/dispatch/core"
	"github.com/switchyard-im/switchyard/frame"
)

// Center is the running message center. One goroutine calls New, Start and Close, in this order; Ready and SessionID may be called from any,
// the Gate's methods on the loops.
type Center struct {
	// Fixed after construction.
	cfg        Config
	store      Store
	conns      Conns
	verifier   *auth.Verifier
	log        *slog.Logger
	auditLog   *slog.Logger // what supervisors did
	calls      *calls       // stands before conns
	metrics    *metrics
	boot       [8]byte // random, of this process
	runners    []*runner
	desk       *deskRunner
	escalation *escalation // nil: nothing is escalated
	auth       *pool
	jobs       *jobs
	deadlines  *deadlines
	governor   *governor
	gate       *Gate
	profiles   profiles // has its own lock

	quit    chan struct{}  // ends the ticker and the governor
	wg      sync.WaitGroup // the runners, the desk, the ticker, the governor and who forgets; Close waits
	started atomic.Bool
}

// New builds a center on a store that is open and connections that do not come yet.
func New(cfg Config, store Store, conns Conns, verifier *auth.Verifier, log *slog.Logger, reg prometheus.Registerer) (*Center, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	c := &Center{
		cfg: cfg, store: store, conns: conns, verifier: verifier, log: log,
		auditLog:  log.With("logger", "audit"),
		deadlines: newDeadlines(time.Now().Unix()), quit: make(chan struct{}),
	}
	c.calls = newCalls(conns, cfg.Loops)
	c.conns = c.calls
	rand.Read(c.boot[:]) // never fails: crypto/rand ends the process instead
	for range cfg.Runners {
		c.runners = append(c.runners, newRunner(c))
	}
	c.governor = newGovernor(c)
	c.desk = newDeskRunner(c)
	var err error
	if c.escalation, err = newEscalation(c); err != nil {
		return nil, err
	}
	c.gate = &Gate{center: c, sessions: make([]sessions, cfg.Loops), in: make([]frameStats, cfg.Loops), out: make([]frameStats, cfg.Loops)}
	for range cfg.Loops {
		c.gate.scratch = append(c.gate.scratch, make([]byte, 0, scratchSize))
	}
	c.gate.check = c.gate.checkDeadline
	c.jobs = &jobs{center: c}
	if c.metrics, err = newMetrics(reg, c); err != nil {
		return nil, fmt.Errorf("dispatch: register metrics: %w", err)
	}
	return c, c.startPools(reg)
}

func (c *Center) startPools(reg prometheus.Registerer) (err error) {
	if c.auth, err = newPool(c.cfg.Auth, "auth", reg); err != nil {
		return err
	}
	c.jobs.pool, err = newPool(c.cfg.Reads, "reads", reg)
	return err
}

// Gate is the side that the event loops call.
func (c *Center) Gate() *Gate { return c.gate }

// Start reads the open conversations and lets the runners, the desk and the clock go. Connections may come after it.
func (c *Center) Start() error {
	begin := time.Now()
	n, err := c.desk.restore()
	if err != nil {
		return err
	}
	c.log.Info("dispatch: desk restored", "open_conversations", n, "took", time.Since(begin))
	if c.escalation != nil {
		if err := c.escalation.load(); err != nil {
			return err
		}
		c.wg.Go(c.escalation.run)
	}
	for _, r := range c.runners {
		c.wg.Go(r.run)
	}
	c.wg.Go(c.desk.run)
	c.wg.Go(c.tick)
	c.wg.Go(c.forgetServed)
	c.wg.Go(func() { c.governor.run(c.quit) })
	c.started.Store(true)
	return nil
}

// Ready tells whether messages would be accepted.
func (c *Center) Ready() bool { return c.started.Load() && c.store.Available() }

// tick is the clock's goroutine.
func (c *Center) tick() {
	t := time.NewTicker(time.Second)
	defer t.Stop()
	for {
		select {
		case <-c.quit:
			return
		case now := <-t.C:
			for _, r := range c.runners {
				r.inbox.put(control{kind: ctlTick})
			}
			c.desk.tick()
			if c.escalation != nil {
				c.escalation.tick()
			}
			c.jobs.again()
			for _, conn := range c.deadlines.sweep(now.Unix()) {
				c.conns.Post(conn, c.gate.check)
			}
		}
	}
}

// Close ends the center after the connections are closed: what the loops handed over is committed, marks are written. The store may be
// closed after it.
func (c *Center) Close(ctx context.Context) error {
	if !c.started.Swap(false) {
		c.auth.close()
		c.jobs.pool.close()
		return nil
	}
	close(c.quit)
	for _, r := range c.runners {
		close(r.quit)
		r.waker.wake()
	}
	close(c.desk.quit)
	c.desk.waker.wake()
	if c.escalation != nil {
		close(c.escalation.quit)
		c.escalation.waker.wake()
	}
	done := make(chan struct{})
	go func() { // ends with the goroutines it waits for
		c.wg.Wait()
		c.auth.close()
		c.jobs.pool.close()
		close(done)
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("dispatch: the shards did not finish in time: %w", ctx.Err())
	}
}

// Erase takes the name of a user out of closed conversations that are in memory, after their stored records were rewritten, and forgets what was said of it
// and whom it served, or by whom it was. When it returns, no further
// transaction brings the name back; those before it were committed in front of any that the caller begins then.
func (c *Center) Erase(ctx context.Context, user string, convs []frame.ID) error {
	c.escalation.forget(user, convs)
	for some := range slices.Chunk(convs, eraseAtOnce) {
		done := make(chan struct{}, len(some))
		for _, conv := range some {
			c.owner(conv).inbox.put(control{kind: ctlErase, conv: conv, agent: user, done: done})
		}
		for range some {
			select {
			case <-done:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	}
	return c.forgetUser(ctx, user)
}

// eraseAtOnce bounds what Erase puts into the mailboxes.
const eraseAtOnce = 256

// owner returns the runner of a conversation.
func (c *Center) owner(conv frame.ID) *runner { return c.runners[slotOf(conv)*len(c.runners)/slots] }

// ownerOfUser returns the runner of a user.
func (c *Center) ownerOfUser(key core.UserKey) *runner {
	return c.runners[slotOfUser(key)*len(c.runners)/slots]
}

// verify checks a token; run by the auth pool.
func (c *Center) verify(token []byte) (*core.Identity, error) {
	id, err := c.verifier.Verify(token, time.Now())
	if err != nil {
		return nil, err
	}
	return &core.Identity{
		User: id.User, Role: id.Role, Profile: c.profiles.of(&id),
		Expires: uint32(min(id.Expires.Unix(), math.MaxUint32)), // in 2106 tokens that outlive it have to be refreshed
	}, nil
}
