package switchyard_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	switchyard "github.com/switchyard-im/switchyard/sdk/go"
)

// buildServer builds the real server once for all tests of this file.
var buildServer = sync.OnceValues(func() (path string, err error) {
	dir, err := os.MkdirTemp("", "switchyard-sdk")
	if err != nil {
		return "", err
	}
	switchyard.AtExit = func() { os.RemoveAll(dir) }
	path = filepath.Join(dir, "switchyard")
	out, err := exec.Command("go", "build", "-o", path, "../../cmd/switchyard").CombinedOutput()
	if err != nil {
		err = fmt.Errorf("%w: %s", err, out)
	}
	return path, err
})

// realServer is a process that can be killed and started again on the same address and data.
type realServer struct {
	t      *testing.T
	binary string
	dir    string
	listen string
	admin  string
	cmd    *exec.Cmd
	log    *bytes.Buffer
}

func startReal(t *testing.T) *realServer {
	binary, err := buildServer()
	if err != nil {
		t.Fatal(err)
	}
	s := &realServer{t: t, binary: binary, dir: t.TempDir(), listen: freeAddress(t), admin: freeAddress(t)}
	s.start()
	t.Cleanup(func() {
		s.kill()
		if t.Failed() {
			t.Logf("the server's log:\n%s", s.log)
		}
	})
	return s
}

func freeAddress(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// start returns when the server is ready.
func (s *realServer) start() {
	s.log = &bytes.Buffer{}
	s.cmd = exec.Command(s.binary, "serve", "--dev", "--listen", s.listen, "--admin", s.admin, "--data", s.dir)
	s.cmd.Env = append(os.Environ(), "SWITCHYARD_RECONNECT_MIN=100ms", "SWITCHYARD_RECONNECT_MAX=1s", "SWITCHYARD_RECONNECT_JITTER=100ms",
		"SWITCHYARD_RECONNECT_DRAIN_WINDOW=200ms")
	s.cmd.Stderr = s.log
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		answer, err := client.Get("http://" + s.admin + "/readyz")
		if err == nil {
			io.Copy(io.Discard, answer.Body)
			answer.Body.Close()
			if answer.StatusCode == http.StatusOK {
				return
			}
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("the server does not become ready:\n%s", s.log)
		}
	}
}

// kill is kill -9.
func (s *realServer) kill() {
	s.cmd.Process.Kill()
	s.cmd.Wait()
}

func (s *realServer) terminate() {
	s.cmd.Process.Signal(syscall.SIGTERM)
	if err := s.cmd.Wait(); err != nil {
		s.t.Errorf("the server ends with %v", err)
	}
}

func (s *realServer) dial(ctx context.Context, role, user string) *switchyard.Client {
	s.t.Helper()
	c, err := switchyard.Dial(ctx, "ws://"+s.listen+"/v1/ws", switchyard.Options{
		Token:             func(context.Context) (string, error) { return s.token(role, user) },
		ListConversations: role == "agent",
		InboxSize:         64,
	})
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { c.Close() })
	return c
}

func (s *realServer) token(role, user string) (string, error) {
	out, err := exec.Command(s.binary, "token", "--key", filepath.Join(s.dir, "token.key"), "--role", role, "--sub", user, "--groups", "support").Output()
	return strings.TrimSpace(string(out)), err
}

// pair connects a visitor and an agent, opens a conversation, and waits until the agent has it.
func (s *realServer) pair(ctx context.Context) (visitor, agent *switchyard.Conversation) {
	s.t.Helper()
	desk := s.dial(ctx, "agent", "bob")
	site := s.dial(ctx, "visitor", "ann")
	visitor, err := site.Open(ctx, "support", switchyard.OpenOptions{})
	if err != nil {
		s.t.Fatal(err)
	}
	for notice := range desk.Conversations(ctx) {
		if notice.Conversation != visitor.ID() {
			continue
		}
		if agent, err = desk.Resume(ctx, notice.Conversation, 0); err != nil {
			s.t.Fatal(err)
		}
		return visitor, agent
	}
	s.t.Fatal("the agent is not told of the conversation")
	return nil, nil
}

func endToEnd(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// chat returns the next message that a participant wrote.
func chat(ctx context.Context, t *testing.T, conv *switchyard.Conversation) switchyard.Message {
	t.Helper()
	for {
		m, err := conv.Receive(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if m.Kind == switchyard.Chat {
			return m
		}
	}
}

func TestEndToEnd(t *testing.T) {
	ctx := endToEnd(t)
	s := startReal(t)
	visitor, agent := s.pair(ctx)

	sent, err := visitor.Send(ctx, "hello")
	if err != nil {
		t.Fatal(err)
	}
	if m := chat(ctx, t, agent); m.Body.Text() != "hello" || m.Seq != sent.Seq || m.Sender != "ann" || m.ID != sent.ID || !m.Time.Equal(sent.Time) {
		t.Errorf("received %+v, sent %+v", m, sent)
	}
	reply, err := agent.Send(ctx, map[string]any{"text": "hi"})
	if err != nil {
		t.Fatal(err)
	}
	if m := chat(ctx, t, visitor); m.Seq != reply.Seq || reply.Seq <= sent.Seq {
		t.Errorf("received %+v, sent %+v", m, reply)
	}
	page, err := visitor.History(ctx, 0, 2)
	if err != nil || len(page.Messages) != 2 || page.Messages[0].ID != sent.ID || page.Messages[1].ID != reply.ID || !page.More {
		t.Errorf("history %+v, %v", page, err)
	}
	if err := agent.Close(ctx); err != nil {
		t.Fatal(err)
	}
	for m, err := range visitor.Messages(ctx) {
		if err != nil || m.EventName() == "" {
			t.Errorf("after the close: %+v, %v", m, err)
		}
	}
	if _, err := visitor.Send(ctx, "too late"); !errors.Is(err, switchyard.ErrConversationClosed) {
		t.Errorf("a send after the close: %v", err)
	}
}

// Messages under way while the server is killed again and again are stored once, in order, and received once, in order.
func TestEndToEndKilled(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	ctx := endToEnd(t)
	s := startReal(t)
	visitor, agent := s.pair(ctx)

	stop := make(chan struct{})
	posted, received := make(chan int, 2), make(chan int, 2)
	for i, conv := range []*switchyard.Conversation{visitor, agent} {
		go func() { posted <- postUntil(ctx, t, conv, stop) }()
		go func() { received <- collect(ctx, t, conv, [...]string{"bob", "ann"}[i]) }()
	}
	for range 4 {
		time.Sleep(time.Duration(100+random.IntN(400)) * time.Millisecond)
		s.kill()
		s.start()
	}
	time.Sleep(200 * time.Millisecond)
	close(stop)
	accepted, got := <-posted+<-posted, <-received+<-received
	if got != accepted {
		t.Errorf("%d messages accepted, %d received", accepted, got)
	}
	checkHistory(ctx, t, visitor, accepted)
	t.Logf("%d messages accepted and received", accepted)
}

// last is the body of a sender's last message.
const last = -1

// postUntil keeps messages under way until stop, sends last, and returns how many were accepted.
func postUntil(ctx context.Context, t *testing.T, conv *switchyard.Conversation, stop <-chan struct{}) (n int) {
	var all []*switchyard.Pending
	for {
		select {
		case <-stop:
			if _, err := conv.Send(ctx, last); err != nil {
				t.Error(err)
			}
			for _, p := range all {
				if _, err := p.Wait(ctx); err != nil {
					t.Error(err)
				}
			}
			return len(all) + 1
		default:
		}
		p, err := conv.Post(ctx, len(all))
		if err != nil {
			t.Error(err)
			return len(all)
		}
		all = append(all, p)
		if len(all)%16 == 0 { // 16 under way
			if _, err := p.Wait(ctx); err != nil {
				t.Error(err)
			}
		}
	}
}

// collect receives the chat messages of one sender up to its last one, and returns how many; they must count up from 0. What was too much for a
// replay, because the other side came back long before this one, it reads from the history.
func collect(ctx context.Context, t *testing.T, conv *switchyard.Conversation, from string) (got int) {
	for m, err := range conv.Messages(ctx) {
		batch := []switchyard.Message{m}
		if gap, ok := errors.AsType[*switchyard.GapError](err); ok {
			t.Logf("%v", gap)
			batch, err = missed(ctx, conv, gap)
		}
		if err != nil {
			t.Error(err)
			return got
		}
		for _, m := range batch {
			if m.Kind != switchyard.Chat || m.Sender != from {
				continue
			}
			n := number(m)
			if n != got && n != last {
				t.Errorf("received %d of %s, want %d", n, m.Sender, got)
				return got
			}
			if got++; n == last {
				return got
			}
		}
	}
	t.Errorf("the last message of %s does not come", from)
	return got
}

// number reads the body of a message that postUntil sent; -2 if it is none.
func number(m switchyard.Message) int {
	n := -2
	if m.Body.Decode(&n) != nil {
		return -2
	}
	return n
}

// checkHistory wants total chat messages, those of each sender in order.
func checkHistory(ctx context.Context, t *testing.T, conv *switchyard.Conversation, total int) {
	all, err := missed(ctx, conv, &switchyard.GapError{Head: conv.Last()})
	if err != nil {
		t.Fatal(err)
	}
	next := map[string]int{}
	chats := 0
	for _, m := range all {
		if m.Kind != switchyard.Chat {
			continue
		}
		chats++
		if n := number(m); n != next[m.Sender] && n != last {
			t.Fatalf("sequence %d holds %d of %s, want %d", m.Seq, n, m.Sender, next[m.Sender])
		}
		next[m.Sender]++
	}
	if chats != total {
		t.Errorf("%d messages are stored, %d were accepted", chats, total)
	}
}

// A server that stops in good order sends its clients away, and they come back to the next one.
func TestEndToEndRestarted(t *testing.T) {
	ctx := endToEnd(t)
	s := startReal(t)
	visitor, agent := s.pair(ctx)
	for i := range 3 {
		if _, err := visitor.Send(ctx, i); err != nil {
			t.Fatal(err)
		}
		s.terminate()
		s.start()
		var n int
		if m := chat(ctx, t, agent); m.Body.Decode(&n) != nil || n != i {
			t.Errorf("received %+v, want %d", m, i)
		}
	}
}
