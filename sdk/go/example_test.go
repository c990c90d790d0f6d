package switchyard_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"slices"
	"strings"
	"testing"

	switchyard "github.com/switchyard-im/switchyard/sdk/go"
)

// A visitor asks, and an agent answers. Start a server with "make run", put the tokens that it prints into VISITOR_TOKEN and AGENT_TOKEN.
func Example() {
	ctx := context.Background()
	url := "ws://127.0.0.1:8080/v1/ws"
	go answer(ctx, url, os.Getenv("AGENT_TOKEN"))
	if err := ask(ctx, url, os.Getenv("VISITOR_TOKEN"), os.Stdout); err != nil {
		log.Fatal(err)
	}
}

// ask opens a conversation, sends a question, and prints the answer.
func ask(ctx context.Context, url, token string, out io.Writer) error {
	c, err := switchyard.Dial(ctx, url, switchyard.Options{
		Token: func(context.Context) (string, error) { return token, nil }, // ask your backend for a fresh one
	})
	if err != nil {
		return err
	}
	defer c.Close()

	conv, err := c.Open(ctx, "support", switchyard.OpenOptions{})
	if err != nil {
		return err
	}
	sent, err := conv.Send(ctx, "Where is my order?")
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "stored as number %d\n", sent.Seq)

	for m, err := range conv.Messages(ctx) {
		if err != nil {
			return err
		}
		if m.Kind == switchyard.Chat {
			fmt.Fprintf(out, "%s: %s\n", m.Sender, m.Body.Text())
			conv.Read(m.Seq)
			break
		}
	}
	return conv.Close(ctx)
}

// answer takes conversations as an agent until ctx ends.
func answer(ctx context.Context, url, token string) error {
	c, err := switchyard.Dial(ctx, url, switchyard.Options{
		Token:             func(context.Context) (string, error) { return token, nil },
		ListConversations: true, // also those that were assigned while we were away
	})
	if err != nil {
		return err
	}
	defer c.Close()

	for notice := range c.Conversations(ctx) {
		if notice.State != switchyard.Assigned {
			continue
		}
		conv, err := c.Resume(ctx, notice.Conversation, 0) // from the first message on
		if err != nil {
			return err
		}
		go reply(ctx, conv)
	}
	return ctx.Err()
}

// reply answers every message of a conversation until it is closed.
func reply(ctx context.Context, conv *switchyard.Conversation) {
	for m, err := range conv.Messages(ctx) {
		if errors.As(err, new(*switchyard.GapError)) {
			continue // too much was missed for a replay; see missed
		}
		if err != nil {
			return
		}
		if m.Kind == switchyard.Chat {
			conv.Signal("typing", true)
			conv.Send(ctx, "You wrote: "+m.Body.Text())
		}
	}
}

// takeFromQueue shows who waits, and takes the first one, as an agent of a group whose agents choose for themselves.
func takeFromQueue(ctx context.Context, c *switchyard.Client, group string) (*switchyard.Conversation, error) {
	queue, err := c.Watch(ctx, group, 50)
	if err != nil {
		return nil, err
	}
	defer queue.Close()
	for {
		view, err := queue.Next(ctx)
		if err != nil {
			return nil, err
		}
		for _, waiting := range view.Entries {
			err := c.Claim(ctx, waiting.Conversation)
			if err == nil {
				return c.Resume(ctx, waiting.Conversation, 0)
			}
			if !errors.Is(err, switchyard.ErrTaken) {
				return nil, err
			}
		}
	}
}

// missed reads what lies in a gap, in ascending order.
func missed(ctx context.Context, conv *switchyard.Conversation, gap *switchyard.GapError) ([]switchyard.Message, error) {
	var all []switchyard.Message
	for before := gap.Head + 1; ; {
		page, err := conv.History(ctx, before, 200)
		if err != nil {
			return nil, err
		}
		if page.PartialFrom > gap.After+1 {
			return nil, errors.New("a part of the history cannot be read now")
		}
		all = append(page.Messages, all...)
		if !page.More || all[0].Seq <= gap.After {
			break
		}
		before = all[0].Seq
	}
	return slices.DeleteFunc(all, func(m switchyard.Message) bool { return m.Seq <= gap.After }), nil
}

// sendAll has many messages under way at once.
func sendAll(ctx context.Context, conv *switchyard.Conversation, texts []string) error {
	var pending []*switchyard.Pending
	for _, text := range texts {
		p, err := conv.Post(ctx, text)
		if err != nil {
			return err
		}
		pending = append(pending, p)
	}
	for _, p := range pending {
		if _, err := p.Wait(ctx); err != nil {
			return err
		}
	}
	return nil
}

// sendOrTell sends a message, and says what became of it.
func sendOrTell(ctx context.Context, conv *switchyard.Conversation, text string) string {
	accepted, err := conv.Send(ctx, text)
	var unknown *switchyard.SendError
	var refused *switchyard.ServerError
	switch {
	case err == nil:
		return fmt.Sprintf("stored at %v", accepted.Time)
	case errors.As(err, &unknown) && unknown.MayArrive:
		return "not answered yet; unknown.Pending.Wait goes on waiting"
	case errors.Is(err, switchyard.ErrConversationClosed):
		return "the conversation has ended"
	case errors.As(err, &refused):
		return "refused: " + refused.Text
	default:
		return "not sent: " + err.Error()
	}
}

// The examples do what they say, against the real server.
func TestExamples(t *testing.T) {
	ctx, cancel := context.WithCancel(endToEnd(t))
	s := startReal(t)
	agent, err := s.token("agent", "bob")
	if err != nil {
		t.Fatal(err)
	}
	visitor, err := s.token("visitor", "ann")
	if err != nil {
		t.Fatal(err)
	}
	url := "ws://" + s.listen + "/v1/ws"
	served := make(chan error)
	go func() { served <- answer(ctx, url, agent) }()
	var out strings.Builder
	if err := ask(ctx, url, visitor, &out); err != nil {
		t.Error(err)
	}
	if got := out.String(); !strings.Contains(got, "stored as number") || !strings.Contains(got, "bob: You wrote: Where is my order?") {
		t.Errorf("the example prints %q", got)
	}
	if err := s.dial(ctx, "agent", "bob").SetStatus(ctx, switchyard.Away, 0); err != nil {
		t.Fatal(err)
	}
	if _, err := s.dial(ctx, "visitor", "dan").Open(ctx, "support", switchyard.OpenOptions{Subject: "a bill"}); err != nil {
		t.Fatal(err)
	}
	if taken, err := takeFromQueue(ctx, s.dial(ctx, "agent", "bob"), "support"); err != nil {
		t.Error(err)
	} else if m, err := taken.Receive(ctx); err != nil || m.Event().Subject != "a bill" {
		t.Errorf("%+v, %v", m, err)
	}
	conv, err := s.dial(ctx, "visitor", "carol").Open(ctx, "support", switchyard.OpenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if err := sendAll(ctx, conv, []string{"one", "two", "three"}); err != nil {
		t.Error(err)
	}
	if got := sendOrTell(ctx, conv, "four"); !strings.HasPrefix(got, "stored at") {
		t.Errorf("got %q", got)
	}
	cancel()
	<-served
}

// The code in the documentation is that of the examples.
func TestDocumentation(t *testing.T) {
	page, err := os.ReadFile("../../docs/sdk-go.md")
	if err != nil {
		t.Fatal(err)
	}
	code, err := os.ReadFile("example_test.go")
	if err != nil {
		t.Fatal(err)
	}
	blocks := strings.Split(string(page), "```go\n")[1:]
	if len(blocks) < 4 {
		t.Errorf("only %d blocks of code", len(blocks))
	}
	for _, block := range blocks {
		block, _, _ = strings.Cut(block, "```")
		if !strings.Contains(string(code), block) {
			t.Errorf("not in example_test.go:\n%s", block)
		}
	}
}
