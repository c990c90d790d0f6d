package main

import (
	"bytes"
	"strings"
	"syscall"
	"testing"

	"github.com/switchyard-im/switchyard/frame"
)

// TestRoutingFile: a visitor who comes back gets the agent it had if the file says so, else the one who was given none for longer.
func TestRoutingFile(t *testing.T) {
	for _, sticky := range []bool{false, true} {
		text := "groups:\n  other: {sticky: 1h}\n"
		if sticky {
			text = "groups:\n  " + devGroup + ": {strategy: round_robin, sticky: 1h}\n"
		}
		i := newInstallation(t, "--set", "routing.file="+write(t, "routing.yaml", text))
		p, _ := i.start()
		for _, agent := range []string{"ann", "bob"} {
			w := i.login(agent, frame.RoleAgent)
			w.frames((&frame.Status{Ref: 5, Status: frame.AgentOnline}).Append(nil))
			w.expect(frame.TypeAck) // the desk has heard of it
		}
		v := i.login("vic", frame.RoleVisitor)
		first := v.open(1)
		had := v.assignee()
		v.frames((&frame.Close{Ref: 6, Conv: first}).Append(nil))
		v.expect(frame.TypeAck)
		v.open(2)
		if got := v.assignee(); (got == had) != sticky {
			t.Errorf("sticky %v: the visitor had %s and gets %s", sticky, had, got)
		}
		p.signal(syscall.SIGKILL) // it has nothing to keep, and its clients do not leave
	}
}

// assignee waits until somebody has the conversation that was just opened.
func (w *wire) assignee() string {
	w.t.Helper()
	for {
		f := w.expect(frame.TypeMessage)
		for _, agent := range []string{"ann", "bob"} {
			if bytes.Contains(f, []byte("assigned")) && bytes.Contains(f, []byte(agent)) {
				return agent
			}
		}
	}
}

func TestRoutingFileIsChecked(t *testing.T) {
	file := write(t, "routing.yaml", "groups:\n  sales: {strategy: fastest}\n")
	status, _, stderr := command([]string{"SWITCHYARD_AUTH_KEYS=" + keyFile(t), "SWITCHYARD_ROUTING_FILE=" + file}, "config", "check")
	if status == 0 || !strings.Contains(stderr, "group sales") || !strings.Contains(stderr, "choose least_active") {
		t.Errorf("%d %s", status, stderr)
	}
}
