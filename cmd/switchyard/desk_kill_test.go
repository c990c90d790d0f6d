package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/switchyard-im/switchyard/dispatch/auth"
	"github.com/switchyard-im/switchyard/dispatch/core"
	"github.com/switchyard-im/switchyard/frame"
	switchyard "github.com/switchyard-im/switchyard/sdk/go"
)

// TestDeskSurvivesKills lets visitors, agents and a supervisor live at random in two groups, kills the server, and looks at what comes back: nobody is there
// then, so it is what the store has. After a kill in the middle of everything each conversation's events must tell a story that can be (who had it is who loses
// it), and say where it is; and what was acked must be in it. When everybody was still before the kill, it must be back exactly: who has what, and the queues in
// their order.
func TestDeskSurvivesKills(t *testing.T) {
	const kills = 5
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	i := newInstallation(t, "--set", "routing.file="+write(t, "routing.yaml", townRouting))
	p, _ := i.start()
	town := &town{installation: i, convs: map[frame.ID]*resident{}}
	for n := range kills {
		life := town.live(seed + uint64(n))
		time.Sleep(500*time.Millisecond + time.Duration(rand.N(400))*time.Millisecond) // the moment is the test's input
		var before *state
		if quiet := n%2 == 1; quiet {
			life.rest()
			before = town.still()
		}
		if _, by := p.signal(syscall.SIGKILL); by != syscall.SIGKILL {
			t.Fatalf("seed %d kill %d: the server ended by %v", seed, n, by)
		}
		life.end()
		p, _ = i.start()
		after := town.read()
		after.check(fmt.Sprintf("seed %d, after kill %d", seed, n))
		if before != nil {
			after.equals(before, fmt.Sprintf("seed %d, kill %d", seed, n))
		}
		if t.Failed() {
			return
		}
	}
	for what, n := range town.happened {
		t.Logf("%d times %s", n, what)
	}
	for _, what := range []string{"claimed", "transferred", "held", "queued", "next_in_queue", "least_active", "closed", "taken_over", "joined", "lost claim", "reopened", "rated", "round_robin"} {
		if town.happened[what] == 0 {
			t.Errorf("seed %d: nothing was %s", seed, what)
		}
	}
}

// The people of the test. Agents of the first kind serve both groups.
const (
	townVisitors = 10
	townAgents   = 6
	townPerRound = 4 // conversations that each visitor opens in a round
)

// townRouting has timers, so that the records hold who is waited for, but none that ends while the test runs.
const townRouting = "groups:\n  sales: {strategy: round_robin, first_reply: {after: 1h}, idle_agent: {after: 1h}, idle_visitor: {after: 2h}, reopen: 1h}\n  tech: {reopen: 1h}\n"

var townGroups = []string{"sales", "tech"}

// town is the people who live around an installation, and what they know of their conversations.
type town struct {
	*installation
	mu       sync.Mutex
	convs    map[frame.ID]*resident // guarded by mu
	list     []frame.ID             // guarded by mu
	happened map[string]int
}

// resident is a conversation as its visitor knows it.
type resident struct {
	visitor string
	key     frame.ID
	acked   []deed // guarded by town.mu
}

// deed is what somebody did with a conversation and was told is done.
type deed struct{ what, by string }

func (w *town) client(ctx context.Context, user string, role frame.Role, groups ...string) (*switchyard.Client, error) {
	return switchyard.Dial(ctx, "ws://"+w.listen+"/v1/ws", w.as(user, role, groups...))
}

// as is for a client of somebody in these groups.
func (w *town) as(user string, role frame.Role, groups ...string) switchyard.Options {
	return switchyard.Options{
		ListConversations: role == frame.RoleAgent,
		Token: func(context.Context) (string, error) {
			key, err := auth.LoadKey("", filepath.Join(w.dir, devKeyFile))
			if err != nil {
				return "", err
			}
			now := time.Now()
			return key.Sign(auth.Identity{User: user, Role: role, Groups: groups, Expires: now.Add(time.Hour)}, now)
		},
	}
}

// did notes what was acked.
func (w *town) did(conv frame.ID, what, by string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.convs[conv].acked = append(w.convs[conv].acked, deed{what, by})
}

// any returns a conversation, mostly one of the last; zero if there is none.
func (w *town) any(r *rand.Rand) (id frame.ID) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if n := len(w.list); n > 0 {
		id = w.list[n-1-r.IntN(min(n, townVisitors*townPerRound))]
	}
	return id
}

// life is one round of it.
type life struct {
	stop    context.CancelFunc // ends what is under way, too
	tired   chan struct{}      // closed: nobody begins anything more
	working sync.WaitGroup     // until everybody has ended what it began
	mu      sync.Mutex
	clients []*switchyard.Client // guarded by mu
}

func (w *town) live(seed uint64) *life {
	ctx, stop := context.WithCancel(w.t.Context())
	l := &life{stop: stop, tired: make(chan struct{})}
	begin := func(n int, user string, role frame.Role, groups []string, act func(ctx context.Context, c *switchyard.Client, r *rand.Rand)) {
		l.working.Go(func() {
			r := rand.New(rand.NewPCG(seed, uint64(n)))
			c, err := w.client(ctx, user, role, groups...)
			if err != nil {
				return // killed meanwhile
			}
			l.mu.Lock()
			l.clients = append(l.clients, c)
			l.mu.Unlock()
			for ctx.Err() == nil {
				select {
				case <-l.tired:
					return
				case <-time.After(time.Duration(r.IntN(12)) * time.Millisecond):
					act(ctx, c, r)
				}
			}
		})
	}
	for n := range townVisitors {
		user := fmt.Sprintf("v%d", n)
		begin(n, user, frame.RoleVisitor, nil, func(ctx context.Context, c *switchyard.Client, r *rand.Rand) { w.visit(ctx, c, user, r) })
	}
	for n := range townAgents {
		user, groups := fmt.Sprintf("a%d", n), townGroups
		if n > 2 {
			groups = townGroups[n%2 : n%2+1]
		}
		begin(100+n, user, frame.RoleAgent, groups, func(ctx context.Context, c *switchyard.Client, r *rand.Rand) { w.work(ctx, c, user, r) })
	}
	begin(200, "sue", frame.RoleSupervisor, townGroups, w.oversee)
	return l
}

// rest lets everybody end what it has begun, and stay.
func (l *life) rest() {
	close(l.tired)
	l.working.Wait()
}

func (l *life) end() {
	l.stop()
	l.working.Wait()
	for _, c := range l.clients {
		_ = c.Close()
	}
}

// visit opens, writes and closes.
func (w *town) visit(ctx context.Context, c *switchyard.Client, user string, r *rand.Rand) {
	if r.IntN(24) == 0 {
		key := switchyard.NewID()
		id := core.ConversationID(user, key)
		w.mu.Lock()
		w.convs[id], w.list = &resident{visitor: user, key: key}, append(w.list, id)
		w.mu.Unlock()
		_, _ = c.Open(ctx, townGroups[r.IntN(2)], switchyard.OpenOptions{Key: key, Priority: r.IntN(3)}) // if it is not answered, the visitor opens it again later
		return
	}
	conv := w.own(ctx, c, user, r)
	if conv == nil {
		return
	}
	switch n := r.IntN(12); {
	case n == 0 && conv.Close(ctx) == nil:
		w.did(conv.ID(), "closed", user)
	case n == 1 && conv.Reopen(ctx) == nil:
		w.did(conv.ID(), "reopened", user)
	case n == 2 && conv.Rate(ctx, 4, "good") == nil:
		w.did(conv.ID(), "rated", user)
	}
	if _, err := conv.Send(ctx, "hello"); err == nil {
		w.did(conv.ID(), "wrote", user)
	}
}

// own joins one of a visitor's conversations.
func (w *town) own(ctx context.Context, c *switchyard.Client, user string, r *rand.Rand) *switchyard.Conversation {
	id := w.any(r)
	if id.IsZero() {
		return nil
	}
	w.mu.Lock()
	mine := w.convs[id].visitor == user
	w.mu.Unlock()
	if !mine {
		return nil
	}
	conv, err := c.Resume(ctx, id, 0)
	if err != nil {
		return nil
	}
	return conv
}

// work does something with a conversation, or with the agent's own status.
func (w *town) work(ctx context.Context, c *switchyard.Client, user string, r *rand.Rand) {
	id := w.any(r)
	switch n := r.IntN(10); {
	case n == 0:
		_ = c.SetStatus(ctx, []switchyard.AgentStatus{switchyard.Online, switchyard.Online, switchyard.Away, switchyard.Busy}[r.IntN(4)], 1+r.IntN(6))
	case id.IsZero():
	case n < 4:
		if err := c.Claim(ctx, id); err == nil {
			w.did(id, "claimed", user)
		} else if errors.Is(err, switchyard.ErrTaken) {
			w.did(id, "lost claim", user)
		}
	default:
		// Who does not have it is refused.
		if conv, err := c.Resume(ctx, id, 0); err == nil {
			w.serve(ctx, conv, user, r)
		}
	}
}

// serve is what an agent does with a conversation that it has, or had a moment ago.
func (w *town) serve(ctx context.Context, conv *switchyard.Conversation, user string, r *rand.Rand) {
	what, err := "", error(nil)
	switch r.IntN(7) {
	case 0:
		what, err = "transferred", conv.Transfer(ctx, switchyard.Target{Group: townGroups[r.IntN(2)], Front: r.IntN(2) == 0})
	case 1:
		if to := fmt.Sprintf("a%d", r.IntN(townAgents)); to != user {
			what, err = "transferred", conv.Transfer(ctx, switchyard.Target{Agent: to})
		}
	case 2, 3:
		err = conv.Hold(ctx, r.IntN(2) == 0)
	case 4:
		what, err = "closed", conv.Close(ctx)
	default:
		what = "wrote"
		_, err = conv.Send(ctx, "how can I help?")
	}
	if what != "" && err == nil {
		w.did(conv.ID(), what, user)
	}
}

// oversee joins, takes over and gives back.
func (w *town) oversee(ctx context.Context, c *switchyard.Client, r *rand.Rand) {
	id := w.any(r)
	if id.IsZero() {
		return
	}
	switch r.IntN(4) {
	case 0:
		if c.Claim(ctx, id) == nil {
			w.did(id, "taken_over", "sue")
		}
	case 1:
		_ = c.SetAgentStatus(ctx, fmt.Sprintf("a%d", r.IntN(townAgents)), switchyard.Online, 1+r.IntN(6))
	default:
		conv, err := c.Attach(ctx, id)
		if err != nil {
			return
		}
		if r.IntN(4) == 0 {
			if conv.Join(ctx) == nil {
				w.did(id, "joined", "sue")
			}
			return
		}
		if conv.Transfer(ctx, switchyard.Target{Group: townGroups[r.IntN(2)], Front: r.IntN(2) == 0}) == nil {
			w.did(id, "transferred", "sue")
		}
	}
}

// state is what a server says of all conversations, while no agent is there.
type state struct {
	town    *town
	convs   map[frame.ID]switchyard.Notice
	stories map[frame.ID][]switchyard.Message
	queues  map[string][]switchyard.QueueEntry
	lists   map[string][]frame.ID // the open conversations on the list of each agent
}

// still reads until nothing changes any more.
func (w *town) still() *state {
	last := w.read()
	for end := time.Now().Add(patience); time.Now().Before(end); {
		next := w.read()
		if maps.Equal(next.convs, last.convs) {
			return next
		}
		last = next
	}
	w.t.Fatal("it never comes to rest")
	return nil
}

// read asks visitors, agents (under tokens of no group, so that they get nothing new) and a supervisor.
func (w *town) read() *state {
	ctx, cancel := context.WithTimeout(w.t.Context(), patience)
	defer cancel()
	s := &state{town: w, convs: map[frame.ID]switchyard.Notice{}, stories: map[frame.ID][]switchyard.Message{},
		queues: map[string][]switchyard.QueueEntry{}, lists: map[string][]frame.ID{}}
	check := func(err error) {
		w.t.Helper()
		if err != nil {
			w.t.Fatal(err)
		}
	}
	visitors := map[string]*switchyard.Client{}
	for id, c := range w.convs {
		v := visitors[c.visitor]
		if v == nil {
			var err error
			v, err = w.client(ctx, c.visitor, frame.RoleVisitor)
			check(err)
			defer v.Close()
			visitors[c.visitor] = v
		}
		conv, err := v.Open(ctx, "sales", switchyard.OpenOptions{Key: c.key})
		check(err)
		if conv.ID() != id {
			w.t.Errorf("key %v opens %v, and %v before", c.key, conv.ID(), id)
		}
		s.convs[id] = conv.Info()
		page, err := conv.History(ctx, 0, 200)
		check(err)
		if page.More {
			w.t.Fatal("a conversation is longer than a page; let the town live for less time")
		}
		s.stories[id] = page.Messages
	}
	sue, err := w.client(ctx, "sue", frame.RoleSupervisor, townGroups...)
	check(err)
	defer sue.Close()
	for _, group := range townGroups {
		q, err := sue.Watch(ctx, group, switchyard.MaxQueueLimit)
		check(err)
		s.queues[group] = q.View().Entries
		if v := q.View(); v.Total != len(v.Entries) {
			w.t.Fatalf("%d wait in %s, which is more than can be seen", v.Total, group)
		}
	}
	return s
}

// readLists reads the lists of the agents, as far as they are expected; what else is on them is an error. The agents come under tokens of no group, and get
// nothing new.
func (s *state) readLists(where string, want map[string]map[frame.ID]bool) {
	t := s.town.t
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for n := range townAgents {
		agent := fmt.Sprintf("a%d", n)
		c, err := s.town.client(ctx, agent, frame.RoleAgent, "nowhere")
		if err != nil {
			t.Fatal(err)
		}
		for left := maps.Clone(want[agent]); len(left) > 0; {
			notice, err := c.NextConversation(ctx)
			if err != nil {
				t.Fatalf("%s: %s has %d conversations that are not on its list: %v", where, agent, len(left), err)
			}
			if id := notice.Conversation; !want[agent][id] {
				t.Errorf("%s: %v is on the list of %s, who does not have it: %+v", where, id, agent, notice)
			}
			delete(left, notice.Conversation)
		}
		_ = c.Close()
	}
}

// tale is what a conversation's events say that it is.
type tale struct {
	state        switchyard.State
	group, agent string
	head         uint64
	deeds        map[deed]int
}

// check holds the stories against what was acked, and against what the server says.
func (s *state) check(where string) {
	t := s.town.t
	t.Helper()
	waiting, has := map[string]map[frame.ID]bool{}, map[string]map[frame.ID]bool{}
	put := func(in map[string]map[frame.ID]bool, key string, id frame.ID) {
		if in[key] == nil {
			in[key] = map[frame.ID]bool{}
		}
		in[key][id] = true
	}
	s.town.happened = map[string]int{}
	for id, c := range s.town.convs {
		story, err := s.tell(id)
		if err != nil {
			t.Errorf("%s: conversation %v: %v", where, id, err)
			continue
		}
		if is := s.convs[id]; is.State != story.state || is.Group != story.group || is.Agent != story.agent || is.Head != story.head {
			t.Errorf("%s: conversation %v is %+v, its story says %+v", where, id, is, story)
		}
		switch story.state {
		case switchyard.Queued:
			put(waiting, story.group, id)
		case switchyard.Assigned, switchyard.Held:
			put(has, story.agent, id)
		}
		s.compareDeeds(where, id, c, story)
	}
	for _, group := range townGroups {
		for n, e := range s.queues[group] {
			if !waiting[group][e.Conversation] {
				t.Errorf("%s: %v waits in %s, and its story says otherwise: %+v", where, e.Conversation, group, s.convs[e.Conversation])
			}
			delete(waiting[group], e.Conversation)
			if n > 0 && e.Front && !s.queues[group][n-1].Front {
				t.Errorf("%s: %v is to wait before %v", where, e.Conversation, s.queues[group][n-1].Conversation)
			}
		}
		for id := range waiting[group] {
			t.Errorf("%s: %v is lost: it should wait in %s", where, id, group)
		}
	}
	s.readLists(where, has)
}

// compareDeeds checks that what was acked happened.
func (s *state) compareDeeds(where string, id frame.ID, c *resident, story *tale) {
	acked := map[deed]int{}
	for _, d := range c.acked {
		s.town.happened[d.what]++
		acked[d]++
	}
	for d := range story.deeds {
		s.town.happened[d.what]++
	}
	for d, n := range acked {
		var happened int
		switch d.what { // what is so already is acked, and nothing happens
		case "lost claim":
			continue
		case "claimed", "taken_over":
			happened, n = story.deeds[deed{"had", d.by}], 1
		case "closed":
			happened, n = story.deeds[deed{"ended", ""}], 1
		case "reopened":
			continue
		case "joined":
			happened, n = story.deeds[d]+story.deeds[deed{"had", d.by}], 1
		default:
			happened = story.deeds[d]
		}
		if happened < n && (d.what != "transferred" || d.by != "sue") { // she may want it where it is
			s.town.t.Errorf("%s: conversation %v: %+v was acked %d times and happened %d times", where, id, d, n, happened)
		}
	}
}

// tell goes through the events of a conversation.
func (s *state) tell(id frame.ID) (*tale, error) {
	story := &tale{deeds: map[deed]int{}}
	for n, m := range s.stories[id] {
		if m.Seq != uint64(n+1) {
			return nil, fmt.Errorf("message %d has the sequence %d", n, m.Seq)
		}
		story.head = m.Seq
		e := m.Event()
		if err := story.next(&m, &e); err != nil {
			return nil, fmt.Errorf("message %d %+v after %+v: %w", m.Seq, e, *story, err)
		}
	}
	return story, nil
}

var errStory = errors.New("that cannot be")

// next is the obvious machine.
func (s *tale) next(m *switchyard.Message, e *switchyard.ServerEvent) error {
	open := s.state == switchyard.Queued || s.state == switchyard.Assigned || s.state == switchyard.Held
	ok := open
	switch e.Name {
	case "":
		s.deeds[deed{"wrote", m.Sender}]++
		if s.state == switchyard.Held && m.Sender != "sue" {
			s.state = switchyard.Assigned
		}
	case "opened":
		ok = s.state == 0
		s.state, s.group = switchyard.Queued, e.Group
	case "assigned":
		ok = open && e.From == s.agent && e.Agent != s.agent
		s.state, s.agent = switchyard.Assigned, e.Agent
		s.deeds[deed{"had", e.Agent}]++
		s.deeds[deed{e.Reason, e.Agent}]++
		s.deeds[deed{"transferred", e.By}]++
	case "queued":
		ok = open && e.From == s.agent
		s.state, s.agent = switchyard.Queued, ""
		s.deeds[deed{"queued", ""}]++
		s.deeds[deed{"transferred", e.By}]++
	case "held":
		ok = s.state == switchyard.Assigned && e.By == s.agent
		s.state = switchyard.Held
		s.deeds[deed{"held", e.By}]++
	case "resumed":
		ok = s.state == switchyard.Held && e.By == s.agent
		s.state = switchyard.Assigned
	case "joined":
		s.deeds[deed{"joined", e.By}]++
	case "closed":
		s.state = switchyard.Closed
		s.deeds[deed{"ended", ""}]++
		s.deeds[deed{"closed", e.By}]++
	case "reopened":
		ok = s.state == switchyard.Closed && e.From == s.agent
		s.state, s.agent = switchyard.Queued, ""
		s.deeds[deed{"reopened", e.By}]++
	case "rated":
		ok = s.state != 0 && e.Rating == 4
		s.deeds[deed{"rated", e.By}]++
	default:
		ok = false
	}
	if e.Group != "" {
		s.group = e.Group
	}
	if !ok {
		return errStory
	}
	return nil
}

// equals wants the same as before.
func (s *state) equals(before *state, where string) {
	t := s.town.t
	t.Helper()
	for id, was := range before.convs {
		if s.convs[id] != was {
			t.Errorf("%s: conversation %v was %+v and is %+v", where, id, was, s.convs[id])
		}
	}
	for _, group := range townGroups {
		is, was := s.queues[group], before.queues[group]
		for n := range max(len(is), len(was)) {
			if n >= len(is) || n >= len(was) || is[n] != was[n] {
				t.Errorf("%s: from its place %d on the queue of %s was\n%+v\nand is\n%+v", where, n+1, group, was[min(n, len(was)):], is[min(n, len(is)):])
				break
			}
		}
	}
}
