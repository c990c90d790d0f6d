package history_test

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"github.com/switchyard-im/switchyard/frame"
	"github.com/switchyard-im/switchyard/sink"
	"github.com/switchyard-im/switchyard/sink/history"
	"github.com/switchyard-im/switchyard/sink/history/chtest"
	"github.com/switchyard-im/switchyard/sink/killtest"
)

// killEnv makes the test binary a server that is to be killed: it accepts messages and ships them. Its value is a killOrder.
const killEnv = "SWITCHYARD_HISTORY_KILL"

const killConversations = 4

type killOrder struct{ Dir, Address, Database, DeadLetters string }

func (o killOrder) config() history.Config {
	return history.Config{
		Addresses: []string{o.Address}, Database: o.Database, DeadLetters: o.DeadLetters, Migrate: true,
		BatchDelay: 5 * time.Millisecond, BatchRows: 500, RetryMin: time.Millisecond, RetryMax: 50 * time.Millisecond,
		Logger: slog.New(slog.DiscardHandler),
	}
}

// TestKillChild is the child of TestKillMidLoad, and nothing by itself.
func TestKillChild(t *testing.T) {
	var order killOrder
	if os.Getenv(killEnv) == "" {
		return
	}
	if err := json.Unmarshal([]byte(os.Getenv(killEnv)), &order); err != nil {
		t.Fatal(err)
	}
	s, _ := openStore(t, order.Dir)
	run(t, open(t, order.config()), s.Outbox())
	for conv := range killConversations {
		go acceptAndTell(t, s, conv) // until the process is killed
	}
	select {}
}

// acceptAndTell accepts message after message, and prints each when it is accepted.
func acceptAndTell(t *testing.T, s *sink.Store, conv int) {
	for head := headOf(t, s, conv); ; {
		head++
		accept(t, s, chat(conv, head))
		fmt.Println("accepted", conv, head)
	}
}

func headOf(t *testing.T, s *sink.Store, conv int) uint64 {
	frames, count, _, err := s.ReadBefore(nil, convID(conv), 0, 1, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	if count == 0 {
		return 0
	}
	var m frame.Message
	if err := m.Parse(frames); err != nil {
		t.Fatal(err)
	}
	return m.Seq
}

// runAndKill runs the child, kills it some time after it has begun to accept, and notes what it accepted. Each message that it accepted is
// told to line by its number.
func runAndKill(t *testing.T, order killOrder, accepted []uint64, line func(n int)) {
	t.Helper()
	value, err := json.Marshal(order)
	if err != nil {
		t.Fatal(err)
	}
	child := killtest.Child{Test: "TestKillChild", Env: killEnv + "=" + string(value), Pause: 20*time.Millisecond + rand.N(300*time.Millisecond)}
	lines := 0
	child.Run(t, func(text string) {
		var conv int
		var seq uint64
		if _, err := fmt.Sscanf(text, "accepted %d %d", &conv, &seq); err != nil {
			t.Errorf("the server says %q", text)
			return
		}
		accepted[conv] = seq
		line(lines)
		lines++
	})
}

// TestKillMidLoad: kill -9 of the server, of ClickHouse, and of both, at random moments of a load. What was accepted is in the history, byte for
// byte and once; and nothing else is.
func TestKillMidLoad(t *testing.T) {
	server := chtest.Start(t)
	dir := t.TempDir()
	order := killOrder{Dir: dir + "/store", Address: server.Addr, Database: server.Database(t), DeadLetters: dir + "/dead.jsonl"}
	accepted := make([]uint64, killConversations)
	for round := range 6 {
		both := round%2 == 1
		killAt := rand.IntN(50)
		runAndKill(t, order, accepted, func(n int) {
			if both && n == killAt {
				server.Kill()
			}
		})
		if both {
			server.Kill() // if the child did not get so far
			server.Restart()
		}
	}

	s, _ := openStore(t, order.Dir)
	c := open(t, order.config())
	run(t, c, s.Outbox())
	shipped(t, s.Outbox())
	heads := make([]uint64, killConversations)
	for conv := range heads {
		// A message may have been accepted and the process killed before it could tell.
		if heads[conv] = headOf(t, s, conv); heads[conv] < accepted[conv] {
			t.Errorf("conversation %d: %d were accepted, the store has %d", conv, accepted[conv], heads[conv])
		}
	}
	exactly(t, c, heads)
	if letters := deadLetters(t, order.config()); len(letters) != 0 {
		t.Errorf("dead letters: %+v", letters)
	}
	t.Logf("accepted %v", heads)
}
