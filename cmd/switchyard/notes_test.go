package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"github.com/switchyard-im/switchyard/dispatch/core"
	"github.com/switchyard-im/switchyard/frame"
	switchyard "github.com/switchyard-im/switchyard/sdk/go"
)

// secret is in the body of each note of the tests, and nowhere else.
const secret = "only-for-staff"

// TestNotesNeverReachVisitors: agents and a supervisor write notes while visitors ask for them in every way there is, by ids that they calculate and guess.
// Not a byte of a note, nor the id of the notes, comes to a visitor's socket or in an answer over HTTP.
func TestNotesNeverReachVisitors(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	i, base := startWithAPI(t)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	conv, err := i.dial(ctx, "ann", frame.RoleVisitor).Open(ctx, devGroup, switchyard.OpenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	bob, eve := i.notes(ctx, "bob", frame.RoleAgent, conv.ID()), i.notes(ctx, "eve", frame.RoleSupervisor, conv.ID())
	staff := i.spy("bob", frame.RoleAgent, "switchyard.v1.msgpack", conv.ID())
	staff.frames((&frame.Attach{Ref: 1, Conv: conv.ID().Notes()}).Append(nil))
	staff.expect(frame.TypeResumed)

	spies := []*spy{
		i.spy("ann", frame.RoleVisitor, "switchyard.v1.msgpack", conv.ID()),
		i.spy("ann", frame.RoleVisitor, "switchyard.v1.json", conv.ID()),
		i.spy("mallory", frame.RoleVisitor, "switchyard.v1.msgpack", conv.ID()),
		i.spy("bob", frame.RoleVisitor, "switchyard.v1.msgpack", conv.ID()), // of the agent's name
	}
	var work sync.WaitGroup
	for n, s := range spies {
		work.Go(func() { s.pry(rand.New(rand.NewPCG(seed, uint64(n))), 1000) })
	}
	for n := range 100 {
		writer := []*switchyard.Conversation{bob, eve}[n%2]
		if _, err := writer.Send(ctx, fmt.Sprintf("%s %d", secret, n)); err != nil {
			t.Fatal(err)
		}
		if err := writer.Signal("typing", secret); err != nil {
			t.Fatal(err)
		}
		if _, err := conv.Send(ctx, "hello"); err != nil {
			t.Fatal(err)
		}
	}
	work.Wait()
	for n, s := range spies {
		if got := s.finish(); leaks(got, conv.ID()) {
			t.Errorf("the visitor's connection %d got a part of the notes in %d bytes", n, len(got))
		}
	}
	staff.frames((&frame.History{Ref: 99, Conv: conv.ID().Notes()}).Append(nil))
	staff.expect(frame.TypePage)
	if !leaks(staff.got.Bytes(), conv.ID()) {
		t.Error("an agent's connection got no note either: this test cannot see them")
	}
	notesOverHTTP(t, i, base, conv.ID())
}

// leaks tells whether bytes have something of the notes.
func leaks(got []byte, conv frame.ID) bool {
	notes := conv.Notes()
	return bytes.Contains(got, []byte(secret)) || bytes.Contains(got, notes[:]) || bytes.Contains(got, []byte(hex.EncodeToString(notes[:])))
}

// notesOverHTTP asks for the notes as everybody.
func notesOverHTTP(t *testing.T, i *installation, base string, conv frame.ID) {
	t.Helper()
	ask := func(who *apiClient, id frame.ID, path string) (int, []byte) {
		r, err := http.NewRequest(http.MethodGet, base+"/v1/"+fmt.Sprintf(path, id), nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+who.token)
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		body, err := io.ReadAll(answer.Body)
		if err != nil {
			t.Fatal(err)
		}
		return answer.StatusCode, body
	}
	for _, c := range []struct {
		who    *apiClient
		status int
	}{
		{i.as(base, "ann", frame.RoleVisitor), 403},
		{i.as(base, "ann", frame.RoleVisitor, devGroup), 403},
		{i.as(base, "bob", frame.RoleVisitor, devGroup), 403},
		{i.as(base, "bob", frame.RoleAgent, "other"), 403},
		{i.as(base, "eve", frame.RoleSupervisor, "other"), 403},
		{i.as(base, "bob", frame.RoleAgent, devGroup), 200},
		{i.as(base, "carl", frame.RoleAgent, devGroup), 200},
		{i.as(base, "eve", frame.RoleSupervisor, devGroup), 200},
	} {
		for _, path := range []string{"conversations/%s/messages", "conversations/%s/messages?after=0", "conversations/%s/messages?before=50&limit=200"} {
			if status, body := ask(c.who, conv.Notes(), path); status != c.status || bytes.Contains(body, []byte(secret)) != (c.status == 200) {
				t.Errorf("%s: status %d, want %d: %s", path, status, c.status, body)
			}
		}
		if status, _ := ask(c.who, frame.ID{15: 1}, "conversations/%s/messages"); status != 404 {
			t.Errorf("notes of nothing: status %d", status)
		}
	}
	for _, role := range []frame.Role{frame.RoleVisitor, frame.RoleAgent, frame.RoleSupervisor} {
		if _, body := ask(i.as(base, "ann", role, devGroup), frame.ID{}, "search?q="+secret+"#%s"); bytes.Contains(body, []byte(secret)) {
			t.Errorf("a %s finds notes: %s", role, body)
		}
	}
}

// notes joins those of a conversation.
func (i *installation) notes(ctx context.Context, user string, role frame.Role, conv frame.ID) *switchyard.Conversation {
	i.t.Helper()
	c, err := i.dial(ctx, user, role).Resume(ctx, conv.Notes(), 0)
	if err != nil {
		i.t.Fatal(err)
	}
	return c
}

// spy is a connection that keeps every byte that came.
type spy struct {
	*wire
	user  string
	conv  frame.ID
	json  bool
	got   *bytes.Buffer
	reads chan struct{} // closed when the reader has ended
}

func (i *installation) spy(user string, role frame.Role, protocol string, conv frame.ID) *spy {
	i.t.Helper()
	d := ws.Dialer{Protocols: []string{protocol}, Timeout: patience, Header: ws.HandshakeHeaderHTTP{"Authorization": {"Bearer " + string(i.token(user, role, time.Hour))}}}
	conn, in, _, err := d.Dial(i.t.Context(), "ws://"+i.listen+"/v1/ws")
	if err != nil {
		i.t.Fatal(err)
	}
	var source io.Reader = conn
	if in != nil {
		source = in
	}
	s := &spy{user: user, conv: conv, json: protocol == "switchyard.v1.json", got: &bytes.Buffer{}, reads: make(chan struct{})}
	s.wire = i.wrap(conn, bufio.NewReader(io.TeeReader(source, s.got)))
	//lint:ignore SA1019 the peer is this test, so the length it declares can be trusted
	if _, err := ws.ReadFrame(s.in); err != nil { // the welcome
		i.t.Fatal(err)
	}
	return s
}

// pry asks for notes at random, and reads what comes until the server answers the last request.
func (s *spy) pry(r *rand.Rand, requests int) {
	go func() { // ends with the connection or the answer; finish waits
		defer close(s.reads)
		for !bytes.Contains(s.got.Bytes(), []byte(lastSubject)) {
			//lint:ignore SA1019 the peer is this test, so the length it declares can be trusted
			if _, err := ws.ReadFrame(s.in); err != nil {
				s.t.Errorf("a spy's connection ended: %v", err)
				return
			}
		}
	}()
	for n := range requests {
		s.say(s.request(r, uint64(n+100)))
	}
}

// say sends a frame in the connection's form.
func (s *spy) say(f []byte) {
	if !s.json {
		s.frames(f)
		return
	}
	text, err := frame.AppendJSON(nil, f)
	if err != nil {
		s.t.Error(err)
		return
	}
	s.bytes(masked(ws.OpText, text))
}

// request is a random one about the notes, or about an id like theirs.
func (s *spy) request(r *rand.Rand, ref uint64) []byte {
	id := s.conv.Notes()
	switch r.IntN(6) {
	case 0:
		id[r.IntN(16)] ^= 1 << r.IntN(8)
	case 1:
		id = frame.ID{15: byte(r.IntN(255) + 1)}
	}
	message := frame.ID{1, byte(ref), byte(ref >> 8)}
	switch r.IntN(14) {
	case 0, 1:
		return (&frame.Attach{Ref: ref, Conv: id}).Append(nil)
	case 2, 3:
		return (&frame.Resume{Ref: ref, Conv: id, After: r.Uint64N(4)}).Append(nil)
	case 4, 5:
		return (&frame.History{Ref: ref, Conv: id, Before: r.Uint64N(50), Limit: 200}).Append(nil)
	case 6:
		return (&frame.Send{Ref: ref, Conv: id, Level: 2, ID: message, Body: []byte{0xa1, 'x'}}).Append(nil)
	case 7:
		return (&frame.Signal{Conv: id, Name: []byte("typing"), Body: []byte{0xc3}}).Append(nil)
	case 8:
		return (&frame.Mark{Type: frame.TypeRead, Conv: id, Seq: r.Uint64N(3)}).Append(nil)
	case 9:
		return (&frame.Join{Ref: ref, Conv: id}).Append(nil)
	case 10:
		return (&frame.Claim{Ref: ref, Conv: id}).Append(nil)
	case 11:
		return (&frame.Open{Ref: ref, Key: id, Group: []byte(devGroup)}).Append(nil)
	case 12:
		return (&frame.Reopen{Ref: ref, Conv: id}).Append(nil)
	default:
		return (&frame.Detach{Ref: ref, Conv: id}).Append(nil)
	}
}

// lastSubject is in the last frame that a spy gets: a page of a conversation of its own.
const lastSubject = "that-is-all"

// finish waits until all that the spy asked for was answered, and returns what came.
func (s *spy) finish() []byte {
	key := frame.ID{7, 7}
	details, err := frame.AppendBody(nil, map[string]any{"subject": lastSubject})
	if err != nil {
		s.t.Fatal(err)
	}
	s.say((&frame.Open{Ref: 5000, Key: key, Group: []byte(devGroup), Details: details}).Append(nil))
	s.say((&frame.History{Ref: 5001, Conv: core.ConversationID(s.user, key)}).Append(nil))
	<-s.reads
	return s.got.Bytes()
}

// TestNotesSurviveKills: an agent writes notes and a supervisor reads them while the server is killed three times: each arrives once, in order.
func TestNotesSurviveKills(t *testing.T) {
	const count, kills = 300, 3
	i := newInstallation(t)
	p, _ := i.start()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	conv, err := i.dial(ctx, "ann", frame.RoleVisitor).Open(ctx, devGroup, switchyard.OpenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	bob, eve := i.notes(ctx, "bob", frame.RoleAgent, conv.ID()), i.notes(ctx, "eve", frame.RoleSupervisor, conv.ID())
	var work sync.WaitGroup
	defer work.Wait()
	accepted := make(chan int, count)
	work.Go(func() {
		defer close(accepted)
		for n := range count {
			if _, err := bob.Send(ctx, n); err != nil {
				t.Error(err)
				return
			}
			accepted <- n
		}
	})
	killed := 0
	for n := range accepted {
		if killed < kills && n >= (killed+1)*count/(kills+1) {
			killed++
			if _, by := p.signal(syscall.SIGKILL); by != syscall.SIGKILL {
				t.Fatalf("the server ended by %v", by)
			}
			p, _ = i.start()
		}
	}
	for n := range count {
		m, err := eve.Receive(ctx)
		var got int
		if err == nil {
			err = m.Body.Decode(&got)
		}
		if err != nil || got != n || m.Seq != uint64(n+1) || m.Sender != "bob" {
			t.Fatalf("note %d: %d as %d of %q, %v", n, got, m.Seq, m.Sender, err)
		}
	}
	if killed != kills {
		t.Errorf("%d kills", killed)
	}
	again := i.notes(ctx, "carl", frame.RoleAgent, conv.ID())
	if page, err := again.History(ctx, 0, 200); err != nil || len(page.Messages) != 200 || page.Messages[199].Seq != count {
		t.Errorf("the last page has %d notes, %v", len(page.Messages), err)
	}
}

// TestNotesOfClient: the SDK gives staff the notes of a conversation, and a visitor an error.
func TestNotesOfClient(t *testing.T) {
	i := newInstallation(t)
	i.start()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	asked, err := i.dial(ctx, "ann", frame.RoleVisitor).Open(ctx, devGroup, switchyard.OpenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var refused *switchyard.ServerError
	if _, err := asked.Notes(ctx); !errors.As(err, &refused) || refused.Code != frame.ErrorForbidden {
		t.Errorf("the visitor's Notes: %v", err)
	}
	watched, err := i.dial(ctx, "eve", frame.RoleSupervisor).Attach(ctx, asked.ID())
	if err != nil {
		t.Fatal(err)
	}
	notes, err := watched.Notes(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := i.notes(ctx, "bob", frame.RoleAgent, asked.ID()).Send(ctx, "a note"); err != nil {
		t.Fatal(err)
	}
	if m, err := notes.Receive(ctx); err != nil || m.Body.Text() != "a note" || m.Sender != "bob" {
		t.Errorf("got %+v, %v", m, err)
	}
	if err := watched.Close(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := notes.Send(ctx, "the end"); err != nil {
		t.Errorf("a note after the end: %v", err)
	}
}

// TestNotesFollowTheGroup: when the conversation goes to another group, the notes of those who are not of that one end with an error; the others go on.
func TestNotesFollowTheGroup(t *testing.T) {
	i := newInstallation(t)
	i.start()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	conv, err := i.dial(ctx, "ann", frame.RoleVisitor).Open(ctx, devGroup, switchyard.OpenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	join := func(user string, role frame.Role, groups ...string) (c *switchyard.Client, notes *switchyard.Conversation) {
		o := i.options(user, role)
		token := i.as("", user, role, groups...).token
		o.Token = func(context.Context) (string, error) { return token, nil }
		c, err := switchyard.Dial(ctx, "ws://"+i.listen+"/v1/ws", o)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		notes, err = c.Resume(ctx, conv.ID().Notes(), 0)
		if err != nil {
			t.Fatal(err)
		}
		return c, notes
	}
	supervisor, both := join("eve", frame.RoleSupervisor, devGroup, "tax")
	_, one := join("dan", frame.RoleSupervisor, devGroup)
	_, agent := join("carl", frame.RoleAgent, "tax", devGroup)
	watched, err := supervisor.Attach(ctx, conv.ID())
	if err == nil {
		_, err = both.Send(ctx, "before")
	}
	if err == nil {
		err = watched.Transfer(ctx, switchyard.Target{Group: "tax"})
	}
	if err == nil {
		_, err = both.Send(ctx, secret)
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"before", secret} {
		if m, err := agent.Receive(ctx); err != nil || m.Body.Text() != want {
			t.Errorf("who is of both groups got %q, %v", m.Body.Text(), err)
		}
	}
	if m, err := one.Receive(ctx); err != nil || m.Body.Text() != "before" {
		t.Errorf("who was of the first group got %q, %v", m.Body.Text(), err)
	}
	var refused *switchyard.ServerError
	if m, err := one.Receive(ctx); !errors.As(err, &refused) || refused.Code != frame.ErrorForbidden {
		t.Errorf("then %q, %v", m.Body.Text(), err)
	}
}

// TestNobodyIsToldOfNotes: webhooks hear of messages, and not of notes.
func TestNobodyIsToldOfNotes(t *testing.T) {
	hook := newHookServer(t)
	i := newInstallation(t, "--set", "notify.file="+hook.config(`"*"`))
	_, base := i.start()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	conv, err := i.dial(ctx, "ann", frame.RoleVisitor).Open(ctx, devGroup, switchyard.OpenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := i.notes(ctx, "eve", frame.RoleSupervisor, conv.ID()).Send(ctx, secret); err != nil {
		t.Fatal(err)
	}
	if _, err := conv.Send(ctx, "hello"); err != nil {
		t.Fatal(err)
	}
	hook.await(2)
	waitForText(t, base+"/varz", `"waiting": 0`)
	for _, x := range hook.await(2) {
		if x.Conversation != conv.ID().String() {
			t.Errorf("it was told of %+v", x)
		}
	}
}

// TestEraseReachesNotes: what a user wrote into notes goes with the user, also while the conversation is open and its notes are followed.
func TestEraseReachesNotes(t *testing.T) {
	i, base := startWithAPI(t)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	conv, err := i.dial(ctx, "ann", frame.RoleVisitor).Open(ctx, devGroup, switchyard.OpenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	eve := i.notes(ctx, "eve", frame.RoleSupervisor, conv.ID())
	if _, err := i.notes(ctx, "dan", frame.RoleSupervisor, conv.ID()).Send(ctx, secret); err != nil {
		t.Fatal(err)
	}
	if _, err := eve.Send(ctx, "stays"); err != nil {
		t.Fatal(err)
	}
	if status, says := i.eraseUser("dan"); status != exitOK || !strings.Contains(says, "1 messages, 1 closed conversations") {
		t.Errorf("status %d: %s", status, says)
	}
	eve.Read(1) // the record is written again
	if _, err := eve.Send(ctx, "goes on"); err != nil {
		t.Fatal(err)
	}
	_, page := i.as(base, "eve", frame.RoleSupervisor, devGroup).get("/v1/conversations/" + conv.ID().Notes().String() + "/messages")
	if len(page.Messages) != 3 || page.Messages[0].Sender != "erased" || page.Messages[0].Body != nil || page.Messages[1].Body != "stays" {
		t.Errorf("the notes are %+v", page)
	}
	if status, says := i.eraseUser("dan"); status != exitOK || !strings.Contains(says, "0 messages, 0 closed conversations") {
		t.Errorf("again: status %d: %s", status, says)
	}
}
