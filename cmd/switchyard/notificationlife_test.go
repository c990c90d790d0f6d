package main

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/switchyard-im/switchyard/frame"
	switchyard "github.com/switchyard-im/switchyard/sdk/go"
)

// TestNotificationsOfALife: every change of a conversation reaches an application that wants it, in order, and tells who did it.
func TestNotificationsOfALife(t *testing.T) {
	routing := filepath.Join(t.TempDir(), "routing.yaml")
	if err := os.WriteFile(routing, []byte("default: {reopen: 1h}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	hook := newHookServer(t)
	i := newInstallation(t, "--set", "notify.file="+hook.config(`conversation.*`), "--set", "routing.file="+routing)
	i.start()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	bob := i.dial(ctx, "bob", frame.RoleAgent)
	must(bob.SetStatus(ctx, switchyard.Online, 0))
	asked, err := i.dial(ctx, "ann", frame.RoleVisitor).Open(ctx, devGroup, switchyard.OpenOptions{})
	must(err)
	notice, err := bob.NextConversation(ctx)
	must(err)
	answered, err := bob.Resume(ctx, notice.Conversation, 0)
	must(err)
	must(answered.Hold(ctx, true))
	must(answered.Hold(ctx, false))
	watched, err := i.dial(ctx, "sue", frame.RoleSupervisor).Attach(ctx, notice.Conversation)
	must(err)
	must(watched.Join(ctx))
	eve := i.dial(ctx, "eve", frame.RoleAgent)
	must(eve.SetStatus(ctx, switchyard.Online, 0))
	must(answered.Transfer(ctx, switchyard.Target{Agent: "eve"}))
	must(asked.Close(ctx))
	must(asked.Rate(ctx, 4, "quick"))
	must(bob.SetStatus(ctx, switchyard.Away, 0))
	must(eve.SetStatus(ctx, switchyard.Away, 0))
	must(asked.Reopen(ctx))

	want := []string{"opened", "assigned", "held", "resumed", "joined", "assigned", "closed", "rated", "reopened"}
	var types []string
	for n, x := range hook.await(len(want)) {
		types = append(types, x.Type[len("conversation."):])
		body, _ := x.Data.Body.(map[string]any)
		for key, value := range map[int]map[string]any{
			1: {"agent": "bob"},
			2: {"by": "bob"},
			4: {"by": "sue"},
			5: {"agent": "eve", "from": "bob", "by": "bob"},
			7: {"rating": 4.0, "comment": "quick"},
			8: {"by": "ann"},
		}[n] {
			if body[key] != value {
				t.Errorf("%s: %s is %v, want %v", x.Type, key, body[key], value)
			}
		}
	}
	if !slices.Equal(types, want) {
		t.Errorf("%q, want %q", types, want)
	}
}
