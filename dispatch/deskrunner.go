package dispatch

import (
	"fmt"
	"time"

	"github.com/switchyard-im/switchyard/dispatch/core"
	"github.com/switchyard-im/switchyard/dispatch/desk"
	"github.com/switchyard-im/switchyard/frame"
)

// deskRunner owns the desk: one goroutine that takes events and sends assignments to the shards. It hears of a conversation only after it
// is durable, and an assignment becomes true when the conversation's shard has written it.
type deskRunner struct {
	center    *Center
	desk      *desk.Desk
	inbox     mailbox[core.DeskEvent]
	questions mailbox[question]
	waker     *waker
	quit      chan struct{}
}

func newDeskRunner(c *Center) *deskRunner {
	d := &deskRunner{center: c, desk: desk.New(c.cfg.desk()), waker: newWaker(), quit: make(chan struct{})}
	d.inbox.wake, d.questions.wake = d.waker.wake, d.waker.wake
	return d
}

// restore fills the desk with the conversations that were open when the server stopped. Before run.
func (d *deskRunner) restore() (int, error) {
	n, records := 0, core.NewOpenDecoder()
	err := d.center.store.OpenConversations(func(conv frame.ID, state []byte) error {
		o, err := records.Decode(conv, state)
		if err != nil {
			return err
		}
		d.desk.Restore(desk.Request{Conv: conv, Group: o.Group, Visitor: o.Visitor, AtMS: o.OpenedMS}, desk.Served{Agent: o.Agent})
		n++
		return nil
	})
	if err != nil {
		return n, fmt.Errorf("dispatch: read the open conversations: %w", err)
	}
	return n, nil
}

// run is the desk's goroutine; it ends when quit is closed.
func (d *deskRunner) run() {
	for {
		d.waker.sleep(d.idle)
		select {
		case <-d.quit:
			return
		default:
		}
		d.desk.Tick(time.Now().UnixMilli())
		for _, e := range d.inbox.take() {
			d.event(&e)
		}
		for _, q := range d.questions.take() {
			d.answer(q)
		}
		for _, a := range d.desk.Take() { // assignments all: Config allows nothing that leads to others
			d.center.owner(a.Conv).inbox.put(control{kind: ctlAssign, conv: a.Conv, agent: a.Agent, reason: string(a.Reason)})
		}
	}
}

func (d *deskRunner) idle() bool {
	select {
	case <-d.quit:
		return false
	default:
		return d.inbox.depth()+d.questions.depth() == 0
	}
}

func (d *deskRunner) event(e *core.DeskEvent) {
	switch e.Kind {
	case core.DeskOpened:
		d.desk.Opened(desk.Request{Conv: e.Conv, Group: e.Group, Visitor: e.Visitor, AtMS: e.AtMS})
	case core.DeskClosed:
		d.desk.Closed(e.Conv)
	case core.DeskAgentUp:
		d.desk.AgentUp(e.Agent, desk.Profile{Groups: e.Groups, Capacity: e.Capacity, Weight: e.Weight})
	case core.DeskAgentDown:
		d.desk.AgentDown(e.Agent)
	case core.DeskStatus:
		d.desk.Status(e.Agent, e.Status, e.Capacity)
	}
}
