package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/switchyard-im/switchyard/bench/meter"
)

// Member is one process of a run, as the controller sees it.
type Member struct {
	Name string // how errors call it
	Conn io.ReadWriteCloser
}

// Config of a controller's run.
type Config struct {
	Members []Member
	Version string      // of the program
	Body    any         // the job; each member gets it, with the number of its part
	Watch   meter.Watch // gets the sums of the members' samples, of each load once a second, from the goroutine of Run; nil: nobody does
}

// Result is what one member found.
type Result struct {
	Member string
	Part   int
	Body   json.RawMessage
}

// Run gives the members their parts and waits for what they find. If ctx ends, the members end early, with what there is. A member that is lost under way ends the run
// of the others early too: the results are then of those, and the error tells of the loss (errors.Is ErrLost). With any other error there are no results. The members'
// connections are closed at the end.
func Run(ctx context.Context, cfg Config) ([]Result, error) {
	c := &controller{cfg: cfg, began: time.Now(), events: make(chan event), done: make(chan struct{}), sums: newSums()}
	for i, m := range cfg.Members {
		c.members = append(c.members, &member{Member: m, part: i, link: newLink(m.Conn)})
	}
	defer c.close()
	if err := c.greet(ctx); err != nil {
		return nil, err
	}
	return c.run(ctx)
}

// ErrLost is the end of a member before it said what it found.
var ErrLost = errors.New("is lost")

// controller is a run. Owned by the goroutine of Run.
type controller struct {
	cfg     Config
	began   time.Time
	members []*member
	events  chan event    // what the members say
	done    chan struct{} // closed when nobody listens to that any more
	readers sync.WaitGroup
	sums    *sums

	waiting map[string]int // members at a gate that is not open
	stopped bool           // the members were told to end early
	failed  error          // the first member that could not do its part
	lost    error
	results []Result
}

type member struct {
	Member
	part  int
	link  *link
	ended bool
}

// event is a message of a member, or that it is lost.
type event struct {
	from *member
	message
	lost bool
}

// greet checks that all members speak the same language, before any of them does something.
func (c *controller) greet(ctx context.Context) error {
	for _, m := range c.members {
		if err := m.link.send(message{Kind: kindHello, Protocol: protocol, Version: c.cfg.Version}); err != nil {
			return fmt.Errorf("%s: %w", m.Name, err)
		}
	}
	for _, m := range c.members {
		select {
		case hello, ok := <-m.link.in:
			switch {
			case !ok:
				return fmt.Errorf("cluster: %s did not answer: %w", m.Name, m.link.reason())
			case hello.Kind == kindFailed:
				return fmt.Errorf("cluster: %s refuses: %s", m.Name, hello.Text)
			case hello.Kind != kindHello:
				return fmt.Errorf("cluster: %s answered %q", m.Name, hello.Kind)
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// look is how often the sums are looked at.
const look = 100 * time.Millisecond

func (c *controller) run(ctx context.Context) ([]Result, error) {
	body, err := json.Marshal(c.cfg.Body)
	if err != nil {
		return nil, fmt.Errorf("cluster: %w", err)
	}
	c.waiting = map[string]int{}
	for _, m := range c.members {
		if err := m.link.send(message{Kind: kindJob, Part: m.part, Of: len(c.members), Body: body}); err != nil {
			return nil, fmt.Errorf("%s: %w", m.Name, err)
		}
		c.readers.Go(func() { c.follow(m) }) // ends with the member's link
	}
	tick := time.NewTicker(look)
	defer tick.Stop()
	stop := ctx.Done()
	for c.under() > 0 {
		select {
		case e := <-c.events:
			c.take(e)
		case <-tick.C:
			c.show()
		case <-stop:
			stop = nil
			c.stop()
		}
	}
	c.show() // what came last
	if c.failed != nil {
		return nil, errors.Join(c.failed, c.lost)
	}
	slices.SortFunc(c.results, func(a, b Result) int { return a.Part - b.Part })
	return c.results, c.lost
}

// under is how many members are at work.
func (c *controller) under() (n int) {
	for _, m := range c.members {
		if !m.ended {
			n++
		}
	}
	return n
}

// follow hands on what a member says, until it has ended.
func (c *controller) follow(m *member) {
	for e := (event{from: m}); e.Kind != kindDone && e.Kind != kindFailed && !e.lost; {
		text, ok := <-m.link.in
		e.message, e.lost = text, !ok
		select {
		case c.events <- e:
		case <-c.done:
			return
		}
	}
}

func (c *controller) take(e event) {
	m := e.from
	switch {
	case e.lost:
		m.ended = true
		c.sums.leave(m.part)
		c.lost = errors.Join(c.lost, fmt.Errorf("cluster: %s %w after %.1f s: %w%s", m.Name, ErrLost, time.Since(c.began).Seconds(), m.link.reason(), lastWords(m.Conn)))
		c.stop()
	case e.Kind == kindAt:
		if c.waiting[e.Text]++; c.waiting[e.Text] == len(c.members) {
			c.tell(message{Kind: kindGo, Text: e.Text})
		}
	case e.Kind == kindSample && e.Sample != nil:
		c.sums.add(m.part, e.Sample)
	case e.Kind == kindDone:
		m.ended = true
		c.sums.leave(m.part)
		c.results = append(c.results, Result{m.Name, m.part, e.Body})
	case e.Kind == kindFailed:
		m.ended = true
		if c.failed == nil {
			c.failed = fmt.Errorf("%s: %s", m.Name, e.Text)
		}
		c.stop()
	}
}

// stop has all members end early, once.
func (c *controller) stop() {
	if !c.stopped {
		c.stopped = true
		c.tell(message{Kind: kindStop})
	}
}

// tell says the same to all members that are at work. One that cannot be told is lost, which its reader meets.
func (c *controller) tell(text message) {
	for _, m := range c.members {
		if !m.ended {
			_ = m.link.send(text)
		}
	}
}

// show hands out the sums that are complete.
func (c *controller) show() {
	for _, s := range c.sums.take(c.under()) {
		s.Seconds = time.Since(c.began).Seconds()
		if c.cfg.Watch != nil {
			c.cfg.Watch(s)
		}
	}
}

func (c *controller) close() {
	close(c.done)
	for _, m := range c.members {
		m.link.close()
	}
	c.readers.Wait()
}

// lastWords are what a process of our own said before it ended, if anything.
func lastWords(conn io.ReadWriteCloser) string {
	p, ok := conn.(*Process)
	if !ok {
		return ""
	}
	_ = p.Close()
	if text := strings.TrimSpace(p.errors.String()); text != "" {
		return "; it said: " + text
	}
	return ""
}
