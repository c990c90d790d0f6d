package history

import (
	"fmt"

	"github.com/switchyard-im/switchyard/bench/client"
	"github.com/switchyard-im/switchyard/bench/crowd"
	"github.com/switchyard-im/switchyard/bench/oracle"
	"github.com/switchyard-im/switchyard/frame"
)

// pager is one reader over WebSockets: it pages through the conversations of some authors, each over its author's connection. Owned by its loop.
type pager struct {
	cfg     *Config
	scene   *crowd.Scene
	shelf   *shelf
	loop    *client.Loop
	authors []*crowd.Author // which no other pager reads
	next    int             // of them
	busy    bool            // a page is under way, or due

	author *crowd.Author
	ledger *oracle.Ledger
	walk   *oracle.Walk
	due    int64
	timer  client.Timer // at the next page's time, or when to ask for one again

	messages []frame.Message // of a page, used again
}

// begin takes up the next conversation.
func (p *pager) begin() {
	p.author = p.authors[p.next%len(p.authors)]
	p.next++
	p.author.Page = p.page
	p.ledger = &oracle.Ledger{}
	p.walk = p.author.Judge(p.ledger, p.cfg.Again == 0, true)
	p.turn()
}

// turn waits for the time of the next page.
func (p *pager) turn() {
	var ok bool
	if p.due, ok = p.shelf.due(); !ok {
		p.busy = false
		p.shelf.walked(p.ledger, false)
		return
	}
	p.busy = true
	if p.due > client.Now() {
		p.timer.Fire = p.ask
		p.loop.Arm(&p.timer, p.due)
		return
	}
	p.ask()
}

// rest is called when the load is over: a page that is not asked for, or was refused, is left.
func (p *pager) rest() {
	if p.timer.Armed() {
		p.loop.Disarm(&p.timer)
		p.busy = false
		p.shelf.walked(p.ledger, false)
	}
}

// giveUp is called when nothing is waited for any more: a page that has not come never comes.
func (p *pager) giveUp() {
	if p.busy {
		p.busy = false
		p.walk.Unread("the page was never answered")
		p.shelf.walked(p.ledger, false)
	}
}

func (p *pager) ask() {
	p.shelf.asks(p.due, client.Now())
	p.repeat()
}

func (p *pager) repeat() { p.author.Ask(p.walk.At(), p.cfg.Page) }

// page takes the answer.
func (p *pager) page(m *frame.Page, refused *frame.Error) {
	switch {
	case !p.busy:
		p.scene.Fail(fmt.Errorf("history: the server answered %s twice", p.author.Name()))
		return
	case refused != nil && frame.ErrorRetry(refused.Code):
		p.shelf.refused()
		p.timer.Fire = p.repeat
		p.loop.Arm(&p.timer, client.Now()+int64(min(max(refused.RetryMS, 10), 60_000))*1e6)
		return
	case refused != nil:
		p.scene.Fail(crowd.Refusal(p.author.Name(), refused))
		return
	}
	now := client.Now()
	if err := p.parse(m); err != nil {
		p.scene.Fail(fmt.Errorf("history: the server sent a page that is none: %w", err))
		return
	}
	p.shelf.read(p.due, now, len(p.messages), m.PartialFrom != 0)
	if m.PartialFrom == 0 && p.walk.Page(p.messages, m.More) {
		p.turn()
		return
	}
	p.shelf.walked(p.ledger, m.PartialFrom == 0)
	p.begin()
}

// parse reads the messages of a page; they borrow from it.
func (p *pager) parse(m *frame.Page) error {
	p.messages = p.messages[:0]
	for rest := m.Messages; len(rest) > 0; {
		_, f, after, err := frame.Next(rest)
		if err != nil {
			return err
		}
		var msg frame.Message
		if err := msg.Parse(f); err != nil {
			return err
		}
		p.messages, rest = append(p.messages, msg), after
	}
	return nil
}
