package notify_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/switchyard-im/switchyard/sink"
	"github.com/switchyard-im/switchyard/sink/killtest"
	"github.com/switchyard-im/switchyard/sink/notify"
)

// killEnv makes the test binary a server that is to be killed: it accepts notifications and sends them. Its value is a killOrder.
const killEnv = "SWITCHYARD_NOTIFY_KILL"

type killOrder struct {
	Dir, URL string
	From     [killConvs]int // the first notification of each conversation to put in
}

const (
	killConvs   = 6
	killWorkers = 3
)

func (o killOrder) config() notify.Config {
	e := hook("app", o.URL)
	e.Workers, e.Attempts = killWorkers, 1<<30
	return notify.Config{Endpoints: []notify.Endpoint{e}, DeadLetters: filepath.Join(o.Dir, "dead.jsonl"), Logger: discard()}
}

// TestKillChild is the child of TestKill, and nothing by itself.
func TestKillChild(t *testing.T) {
	if os.Getenv(killEnv) == "" {
		return
	}
	var order killOrder
	if err := json.Unmarshal([]byte(os.Getenv(killEnv)), &order); err != nil {
		t.Fatal(err)
	}
	s := openStore(t, filepath.Join(order.Dir, "store"))
	startOn(t, s, order.config())
	for conv, n := range order.From {
		go func() { // until the process is killed
			for ; ; n++ {
				if err := s.Notices().Put(context.Background(), "app", event(t, conv, n)); err != nil {
					fmt.Println("error", err)
				}
				fmt.Println("accepted", conv, n)
			}
		}()
	}
	select {}
}

// runAndKill runs the child and kills it some time after it has begun, and notes what it accepted.
func runAndKill(t *testing.T, order killOrder, accepted *[killConvs]int) {
	t.Helper()
	value, err := json.Marshal(order)
	if err != nil {
		t.Fatal(err)
	}
	child := killtest.Child{Test: "TestKillChild", Env: killEnv + "=" + string(value), Pause: 20*time.Millisecond + rand.N(200*time.Millisecond)}
	child.Run(t, func(line string) {
		var conv, n int
		if _, err := fmt.Sscanf(line, "accepted %d %d", &conv, &n); err != nil {
			t.Errorf("the server says %q", line)
			return
		}
		accepted[conv] = n + 1
	})
}

// TestKill: kill -9 at random moments, with a receiver that fails at random. Each notification that was accepted arrives; those of a conversation in
// order; and what comes again is what the receiver refused and at most what each kill found under way: one of each of the workers' conversations and of
// those whose delivery was not yet noted.
func TestKill(t *testing.T) {
	r := newReceiver(t)
	var refused atomic.Int64
	r.answer(func(w http.ResponseWriter, _ *http.Request, _ got) {
		if rand.IntN(10) == 0 {
			refused.Add(1)
			w.WriteHeader(http.StatusNotFound)
		}
	})
	const rounds = 6
	order := killOrder{Dir: t.TempDir(), URL: r.URL}
	var accepted [killConvs]int
	for range rounds {
		runAndKill(t, order, &accepted)
		order.From = putIn(t, order, accepted, r.requests())
	}
	s := openStore(t, filepath.Join(order.Dir, "store"))
	b := startOn(t, s, order.config())
	b.empty(t, "app")

	all := r.requests()
	count := map[string]int{}
	for _, g := range all {
		count[g.conv] = max(count[g.conv], g.n+1)
	}
	distinct := 0
	for conv := range killConvs {
		n := count[convID(conv).String()]
		distinct += n
		if n < accepted[conv] {
			t.Errorf("conversation %d: %d were accepted, %d arrived", conv, accepted[conv], n)
		}
		var of []got
		for _, g := range all {
			if g.conv == convID(conv).String() {
				of = append(of, g)
			}
		}
		next := 0
		for _, g := range of {
			if g.n > next {
				t.Fatalf("conversation %d: %d came where %d should", conv, g.n, next)
			}
			next = max(next, g.n+1)
		}
	}
	again := len(all) - distinct
	if most := int(refused.Load()) + rounds*killConvs; again > most {
		t.Errorf("%d came again, and at most %d should", again, most)
	}
	if len(b.letters(t)) != 0 {
		t.Error("there are dead letters")
	}
	t.Logf("%d accepted, %d distinct, %d came again, %d refused", accepted, distinct, again, refused.Load())
}

// putIn tells what is the next of each conversation: one may have been put in that the child could not tell of before it was killed, and it may
// have been delivered.
func putIn(t *testing.T, order killOrder, accepted [killConvs]int, arrived []got) [killConvs]int {
	t.Helper()
	s, err := sink.Open(sink.Config{Dir: filepath.Join(order.Dir, "store"), Logger: discard()})
	if err != nil {
		t.Fatal(err)
	}
	defer closeStore(t, s)
	next := accepted
	for _, g := range arrived {
		for conv := range next {
			if g.conv == convID(conv).String() {
				next[conv] = max(next[conv], g.n+1)
			}
		}
	}
	err = s.Notices().Read("app", 0, func(n sink.Notice) bool {
		var body struct {
			ID string
		}
		var conv, number int
		if err := json.Unmarshal(n.Body, &body); err != nil {
			t.Error(err)
		} else if _, err := fmt.Sscanf(body.ID, "e-%d-%d", &conv, &number); err != nil {
			t.Error(err)
		} else {
			next[conv] = max(next[conv], number+1)
		}
		return true
	})
	if err != nil {
		t.Fatal(err)
	}
	return next
}
