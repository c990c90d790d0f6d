package main

import (
	"bytes"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

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
		second := v.open(2)
		got := v.assignee()
		if (got == had) != sticky {
			t.Errorf("sticky %v: the visitor had %s and gets %s", sticky, had, got)
		}
		if sticky {
			p = i.comesBackAfterKill(p, v, second, got)
		}
		p.signal(syscall.SIGKILL) // it has nothing to keep, and its clients do not leave
	}
}

// comesBackAfterKill closes the visitor's second conversation and kills the server upon the ack: who had it gets the next one, too, although the others come
// first.
func (i *installation) comesBackAfterKill(p *process, v *wire, conv frame.ID, had string) *process {
	i.t.Helper()
	v.frames((&frame.Close{Ref: 7, Conv: conv}).Append(nil))
	v.expect(frame.TypeAck)
	p.signal(syscall.SIGKILL)
	p, _ = i.start()
	for _, agent := range []string{"ann", "bob", "cid"} {
		if agent != had {
			i.arrive(agent)
		}
	}
	i.arrive(had)
	v = i.login("vic", frame.RoleVisitor)
	v.open(3)
	if got := v.assignee(); got != had {
		i.t.Errorf("after a restart the visitor had %s and gets %s", had, got)
	}
	return p
}

// assignee waits until somebody has the conversation that was just opened.
func (w *wire) assignee() string {
	w.t.Helper()
	for {
		f := w.expect(frame.TypeMessage)
		for _, agent := range []string{"ann", "bob", "cid"} {
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

// TestRoutingOverHTTP: supervisors see why a conversation waits, and then why somebody has it.
func TestRoutingOverHTTP(t *testing.T) {
	i, base := startWithAPI(t)
	v := i.login("vic", frame.RoleVisitor)
	conv := v.open(1)
	path := "/v1/conversations/" + conv.String() + "/routing"
	sue := i.as(base, "sue", frame.RoleSupervisor, devGroup)

	got := sue.routing(path, "waiting")
	if d := got.Decisions[len(got.Decisions)-1]; len(got.Decisions) != 1 || d.Reason != "nobody_free" || d.Group != devGroup || d.Agents != 0 || len(d.Candidates) != 0 {
		t.Errorf("it waits: %+v", got)
	}
	i.login("ann", frame.RoleAgent)
	v.assignee()
	got = sue.routing(path, "assigned")
	d := got.Decisions[len(got.Decisions)-1]
	if len(got.Decisions) != 1 || d.Reason != "next_in_queue" || d.Agent != "ann" || d.Strategy != "least_active" || d.Able != 1 || d.AtMS == 0 {
		t.Errorf("it is assigned: %+v", got)
	}
	if len(d.Candidates) != 1 || d.Candidates[0].Agent != "ann" || d.Candidates[0].Load != 0 || d.Candidates[0].Capacity != 5 {
		t.Errorf("the candidates: %+v", d.Candidates)
	}

	for _, c := range []struct {
		name   string
		client *apiClient
		path   string
		status int
	}{
		{"the visitor", i.as(base, "vic", frame.RoleVisitor), path, 403},
		{"the agent", i.as(base, "ann", frame.RoleAgent, devGroup), path, 403},
		{"a supervisor of another group", i.as(base, "sue", frame.RoleSupervisor, "elsewhere"), path, 403},
		{"nobody", &apiClient{t: t, base: base}, path, 401},
		{"no such conversation", sue, "/v1/conversations/01020300000000000000000000000010/routing", 404},
		{"no id", sue, "/v1/conversations/x/routing", 400},
	} {
		if status, _ := c.client.get(c.path); status != c.status {
			t.Errorf("%s: %d, want %d", c.name, status, c.status)
		}
	}
	v.frames((&frame.Close{Ref: 6, Conv: conv}).Append(nil))
	v.expect(frame.TypeAck)
	for begin := time.Now(); ; time.Sleep(time.Millisecond) { // the desk hears of it a moment later
		if status, _ := sue.get(path); status == 404 {
			break
		} else if time.Since(begin) > patience {
			t.Fatalf("a closed one: %d", status)
		}
	}
}

type routingPage struct {
	Decisions []struct {
		AtMS                                  int64 `json:"at_ms"`
		State, Group, Strategy, Agent, Reason string
		Agents, Able, Free                    int
		Candidates                            []struct {
			Agent          string
			Load, Capacity int
		}
	}
}

// routing asks until the last decision is of this state.
func (c *apiClient) routing(path, state string) (page routingPage) {
	c.t.Helper()
	for begin := time.Now(); time.Since(begin) < patience; time.Sleep(time.Millisecond) {
		if status, _ := c.get(path); status == http.StatusNotFound {
			continue // the desk has not heard of it
		}
		page = routingPage{}
		c.answerOf(path, &page)
		if n := len(page.Decisions); n > 0 && page.Decisions[n-1].State == state {
			return page
		}
	}
	c.t.Fatalf("it is never %s: %+v", state, page)
	return page
}
