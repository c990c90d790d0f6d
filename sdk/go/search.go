package switchyard

import "github.com/switchyard-im/switchyard/frame"

// A server looks for an earlier copy of a message after its base, but not thousands of messages far: beyond that it answers bad_sequence, and
// the client looks itself. That happens when a conversation went far on while this client was away, or did not read.

// searchPages bounds the search; a message that far back is reported as uncertain.
const searchPages = 100

// search looks through the history for a message, from the head down to its base. If it is there, it was accepted. If not, no copy lies at or before
// the head that the search began with, so that becomes the base, and the message is sent again. Called with mu; what comes after it in
// the outbox waits meanwhile.
func (s *session) search(p *Pending) {
	p.seek, p.epoch = true, 0
	s.searchPage(p, 0, 0, searchPages)
}

// searchPage asks for the page before a sequence. head is the highest sequence of the first page.
func (s *session) searchPage(p *Pending, before, head uint64, pages int) {
	ref := s.ref()
	s.calls[ref] = &pendingCall{
		request: func(ref uint64) encoder {
			return &frame.History{Ref: ref, Conv: p.conv.id, Before: before, Limit: frame.MaxHistory}
		},
		answer: func(s *session, typ frame.Type, f []byte, err error) {
			var page Page
			if err == nil {
				page, err = readPage(s, typ, f)
			}
			s.searched(p, page, err, head, pages)
		},
	}
	s.repeat(ref)
}

// searched looks through one page, and goes on or ends the search.
func (s *session) searched(p *Pending, page Page, err error, head uint64, pages int) {
	if isClosed(p.done) {
		s.searchDone(p)
		return
	}
	if err != nil || pages == 0 {
		s.resolve(p, Accepted{}, &SendError{Pending: p, Err: firstCause(err, errSearch), MayArrive: true})
		s.searchDone(p)
		return
	}
	lowest := uint64(0)
	for i, m := range page.Messages {
		if m.ID == p.id && m.Sender == s.user {
			s.accepted(p, m.Seq, m.Time)
			p.conv.track.ack(m.Seq)
			s.searchDone(p)
			return
		}
		if i == 0 {
			lowest = m.Seq
		}
		head = max(head, m.Seq)
	}
	if page.PartialFrom > p.base+1 { // the copy may lie where the server cannot look now
		s.resolve(p, Accepted{}, &SendError{Pending: p, Err: errPartial, MayArrive: true})
		s.searchDone(p)
		return
	}
	if page.More && lowest > p.base {
		s.searchPage(p, lowest, head, pages-1)
		return
	}
	p.base = head
	s.searchDone(p)
}

func (s *session) searchDone(p *Pending) {
	p.seek = false
	s.flush(p.conv)
}
