package main

import (
	"fmt"
	"net"
	"syscall"
	"testing"
	"time"

	"github.com/switchyard-im/switchyard/frame"
)

// waiting returns how many wait in the queue. The desk has heard of what this client, and others who were answered before, asked for.
func (w *wire) waiting() int {
	w.t.Helper()
	w.frames((&frame.Watch{Ref: 20, Group: []byte(devGroup), Limit: 1}).Append(nil))
	var q frame.Queue
	if err := q.Parse(w.expect(frame.TypeQueue)); err != nil {
		w.t.Fatal(err)
	}
	w.frames((&frame.Watch{Ref: 21, Group: []byte(devGroup)}).Append(nil))
	w.expect(frame.TypeAck)
	return int(q.Total)
}

// arrive logs an agent in and waits until the desk has heard of it: what a client asks for in the batch of its welcome comes before it.
func (i *installation) arrive(agent string) *wire {
	i.t.Helper()
	w := i.login(agent, frame.RoleAgent)
	w.waiting()
	return w
}

// expectStatus skips to a status that says this.
func (w *wire) expectStatus(status frame.AgentStatus, capacity uint64) {
	w.t.Helper()
	for {
		var s frame.Status
		if err := s.Parse(w.expect(frame.TypeStatus)); err != nil {
			w.t.Fatal(err)
		}
		if s.Status == status && s.Capacity == capacity && string(s.User) == "ann" && s.Ref == 0 {
			return
		}
	}
}

// TestStatusIsToldToAllDevices: whoever says it, on whichever device, and to those that come later.
func TestStatusIsToldToAllDevices(t *testing.T) {
	i := newInstallation(t)
	p, _ := i.start()
	phone, desk := i.login("ann", frame.RoleAgent), i.login("ann", frame.RoleAgent)
	for _, w := range []*wire{phone, desk} {
		w.expectStatus(frame.AgentOnline, 5)
	}
	phone.says(frame.AgentAway, 2, "")
	for _, w := range []*wire{phone, desk} {
		w.expectStatus(frame.AgentAway, 2)
	}
	i.login("sue", frame.RoleSupervisor).says(frame.AgentBusy, 0, "ann")
	for _, w := range []*wire{phone, desk, i.login("ann", frame.RoleAgent)} {
		w.expectStatus(frame.AgentBusy, 2)
	}
	p.signal(syscall.SIGKILL)
	p, _ = i.start()
	i.login("ann", frame.RoleAgent).expectStatus(frame.AgentBusy, 2)
	p.signal(syscall.SIGKILL)
}

// says sends a status and waits for its ack.
func (w *wire) says(status frame.AgentStatus, capacity uint64, of string) {
	w.t.Helper()
	w.frames((&frame.Status{Ref: 30, Status: status, Capacity: capacity, User: []byte(of)}).Append(nil))
	w.expect(frame.TypeAck)
}

// TestStatusOutlivesKill: what an agent or a supervisor said holds from its ack on, whatever becomes of the server, and nobody is online by a restart.
func TestStatusOutlivesKill(t *testing.T) {
	i := newInstallation(t)
	p, _ := i.start()
	opened := 0
	open := func() {
		opened++
		i.login(fmt.Sprint("visitor", opened), frame.RoleVisitor).open(byte(opened))
	}
	kill := func() {
		t.Helper()
		p.signal(syscall.SIGKILL)
		p, _ = i.start()
	}
	wants := func(what string, w *wire, waiting int) {
		t.Helper()
		if n := w.waiting(); n != waiting {
			t.Fatalf("%s: %d wait, want %d", what, n, waiting)
		}
	}

	i.arrive("ann").says(frame.AgentBusy, 1, "")
	kill()
	ann := i.arrive("ann")
	open()
	wants("she said that she is busy", ann, 1)

	ann.says(frame.AgentOnline, 0, "")
	wants("she is online", ann, 0)
	open()
	wants("she said that she takes one", ann, 1)
	kill()
	ann = i.arrive("ann")
	wants("she said so before the restart", ann, 1)

	// What a supervisor says is no less true, nor what an agent says after it.
	sue := i.login("sue", frame.RoleSupervisor)
	sue.says(frame.AgentOffline, 3, "ann")
	kill()
	ann, sue = i.arrive("ann"), i.login("sue", frame.RoleSupervisor)
	wants("she was put offline", ann, 1)
	sue.says(frame.AgentOnline, 0, "ann")
	wants("she was put online, with three at a time", ann, 0)
	open()
	open()
	wants("she has three", ann, 1)
	sue.frames((&frame.Status{Ref: 9, Status: frame.AgentAway, User: []byte("nobody")}).Append(nil))
	sue.expectError(frame.ErrorForbidden)
	p.signal(syscall.SIGKILL) // its clients do not leave
}

// TestPresenceIsALease: an agent is there as long as one of its devices is, and who vanishes is gone when its connection times out, without a word.
func TestPresenceIsALease(t *testing.T) {
	for name, leave := range map[string]func(w *wire){
		"silent":      func(*wire) {}, // a machine without power, a network that is gone: nothing comes any more, no end either
		"half closed": func(w *wire) { _ = w.conn.(*net.TCPConn).CloseWrite() },
		"reset":       func(w *wire) { _ = w.conn.(*net.TCPConn).SetLinger(0); _ = w.conn.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			i := newInstallation(t, "--set", "websocket.ping_after=1s", "--set", "websocket.close_after=2s")
			p, _ := i.start()
			defer p.signal(syscall.SIGKILL)

			phone, desk := i.arrive("ann"), i.arrive("ann")
			desk.says(frame.AgentOnline, 1000, "")
			leave(phone)
			for range 30 { // longer than a silent connection lives
				desk.frames((&frame.Heartbeat{}).Append(nil))
				time.Sleep(100 * time.Millisecond)
			}
			i.login("vic", frame.RoleVisitor).open(1)
			if n := desk.waiting(); n != 0 {
				t.Fatalf("one device is left, and %d wait", n)
			}

			leave(desk)
			for n := byte(0); ; n++ {
				i.login(fmt.Sprint("visitor", n), frame.RoleVisitor).open(n + 2)
				if i.login("sue", frame.RoleSupervisor).waiting() > 0 {
					break
				}
				if n == 250 {
					t.Fatal("she vanished, and gets conversations all the same")
				}
				time.Sleep(20 * time.Millisecond)
			}
			if i.arrive("ann").waiting() > 0 {
				t.Error("she is back, and it still waits")
			}
		})
	}
}

// TestTypingPreview: of the texts of somebody who types, and of the marks of somebody who reads, what comes together is merged, the last one always comes, in
// order, and nothing of it is in the history.
func TestTypingPreview(t *testing.T) {
	i := newInstallation(t)
	p, _ := i.start()
	ann, vic := i.arrive("ann"), i.login("vic", frame.RoleVisitor)
	conv := vic.open(1)
	vic.assignee()
	ann.frames((&frame.Attach{Ref: 3, Conv: conv}).Append(nil))
	ann.expect(frame.TypeResumed)

	const count = 300
	var typed, sent []byte
	for n := range count {
		text := fmt.Sprintf("%03d", n)
		typed = (&frame.Signal{Conv: conv, Name: []byte("typing"), Body: append([]byte{0xa3}, text...)}).Append(typed)
		sent = (&frame.Send{Ref: uint64(100 + n), Conv: conv, Level: 2, ID: frame.ID{byte(n), byte(n >> 8), 1}, Base: 2, Body: []byte{0xc0}}).Append(sent)
	}
	vic.frames(typed)
	last := ""
	for n := 0; last != "299"; n++ {
		var s frame.Signaled
		if err := s.Parse(ann.expect(frame.TypeSignaled)); err != nil {
			t.Fatal(err)
		}
		text := string(s.Body[1:])
		if text <= last || string(s.Sender) != "vic" || n == count {
			t.Fatalf("after %q came %q of %s", last, text, s.Sender)
		}
		last = text
	}

	vic.frames(sent)
	var m frame.Message
	for m.Seq < 2+count {
		if err := m.Parse(ann.expect(frame.TypeMessage)); err != nil {
			t.Fatal(err)
		}
	}
	if m.Seq != 2+count || m.Prev != 1+count {
		t.Errorf("the last message is %d after %d: what was typed takes a place among the messages", m.Seq, m.Prev)
	}
	var marks []byte
	for seq := range uint64(count) {
		marks = (&frame.Mark{Type: frame.TypeDelivered, Conv: conv, Seq: 3 + seq}).Append(marks)
		marks = (&frame.Mark{Type: frame.TypeRead, Conv: conv, Seq: 3 + seq}).Append(marks)
	}
	ann.frames(marks)
	var r, before frame.Receipt
	for n := 0; r.Read != 2+count; n++ {
		if err := r.Parse(vic.expect(frame.TypeReceipt)); err != nil {
			t.Fatal(err)
		}
		if r.Delivered < before.Delivered || r.Read < before.Read || r.Delivered < r.Read || n == 2*count {
			t.Fatalf("after %+v came %+v, receipt %d for %d marks", before, r, n, 2*count)
		}
		before = r
	}

	// They are durable with the next change of the conversation that is acked, at the latest.
	vic.frames((&frame.Close{Ref: 8, Conv: conv}).Append(nil))
	vic.expect(frame.TypeAck)
	p.signal(syscall.SIGKILL)
	p, _ = i.start()
	vic = i.login("vic", frame.RoleVisitor)
	vic.frames((&frame.Attach{Ref: 9, Conv: conv}).Append(nil))
	for r.User = nil; string(r.User) != "ann"; {
		if err := r.Parse(vic.expect(frame.TypeReceipt)); err != nil {
			t.Fatal(err)
		}
	}
	if r.Delivered != 2+count || r.Read != 2+count {
		t.Errorf("after a restart: %+v", r)
	}
	p.signal(syscall.SIGKILL)
}
