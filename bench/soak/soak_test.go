package soak

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/switchyard-im/switchyard/bench/benchtest/chatserver"
	"github.com/switchyard-im/switchyard/bench/chat"
	"github.com/switchyard-im/switchyard/bench/observe"
	"github.com/switchyard-im/switchyard/bench/token"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fake is the metrics of a server of which a new process begins with each fifth page, which is not served.
type fake struct {
	mu    sync.Mutex
	pages int // guarded by mu
}

func (f *fake) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	w.Header().Set("Connection", "close")
	if f.pages++; f.pages%5 == 0 {
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	fmt.Fprintf(w, "process_start_time_seconds %d\nprocess_resident_memory_bytes 5e7\ngo_memstats_next_gc_bytes 6e7\ngo_gc_gogc_percent 200\ngo_goroutines 50\nprocess_open_fds 200\n", f.pages/5)
}

func (f *fake) served() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.pages
}

func TestLivesAreToldApart(t *testing.T) {
	f := &fake{}
	s := httptest.NewServer(f)
	defer s.Close()
	w := watch(t.Context(), s.URL, time.Millisecond)
	for f.served() < 23 {
		time.Sleep(time.Millisecond)
	}
	lives := w.end()
	if len(lives) < 5 || len(lives[0].looks) != 4 || len(lives[1].looks) != 4 || lives[1].began < lives[0].began {
		t.Fatalf("%+v", lives)
	}
	if v := lives[1].looks[0].Vitals; v != (observe.Vitals{Started: 1, RSSBytes: 5e7, HeapBytes: 2e7, Goroutines: 50, FDs: 200}) {
		t.Errorf("%+v", v)
	}
}

// TestWhatAServerGainsFails: the server is killed and started again and again, and each time one thing is more. Lives are of different lengths, in each
// memory rises with age, and the first second of each is unlike the rest.
func TestWhatAServerGainsFails(t *testing.T) {
	for _, grow := range []string{"nothing", "rss", "heap", "goroutines", "fds"} {
		var lives []life
		for n := range 20 {
			l := life{began: float64(30 * n)}
			more := func(name string, flat, each int64) int64 {
				if name == grow {
					return flat + int64(n)*each
				}
				return flat
			}
			for age := range 10 + n%3*10 {
				rise := int64(age) * 1e5
				v := observe.Vitals{RSSBytes: more("rss", 5e7, 1e6) + rise, HeapBytes: more("heap", 2e7, 1e6) + rise, Goroutines: more("goroutines", 50, 2), FDs: more("fds", 200, 5)}
				if age == 0 {
					v = observe.Vitals{}
				}
				l.looks = append(l.looks, look{float64(age), v})
			}
			lives = append(lives, l)
		}
		rep := Report{Chat: &chat.Report{}}
		rep.judge(lives, 0.1)
		if rep.Starts != 20 || rep.RSS.Lives != 20 || rep.AgeSeconds != 9 { // a third of them reach no more
			t.Fatalf("%+v", rep)
		}
		for name, grows := range map[string]bool{"rss": rep.RSS.Grows, "heap": rep.Heap.Grows, "goroutines": rep.Goroutines.Grows, "fds": rep.FDs.Grows} {
			if grows != (name == grow) {
				t.Errorf("%s grows, and %s: %t\n%+v", grow, name, grows, rep)
			}
		}
		if text := fmt.Sprint(rep.Rows()); rep.OK() != (grow == "nothing") || strings.Contains(text, "IT GROWS") == rep.OK() {
			t.Errorf("%s grows, and it passes: %t; %s", grow, rep.OK(), text)
		}
	}
	none := Report{Chat: &chat.Report{}}
	if none.judge(nil, 0.1); !none.OK() {
		t.Errorf("nothing seen is no growth: %+v", none)
	}
}

// TestAShortSoak: without restarts there is nothing to compare, and that is said.
func TestAShortSoak(t *testing.T) {
	s, err := chatserver.Start(chatserver.Faults{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	key, err := token.Parse([]byte(strings.Repeat("5a", 32)))
	if err != nil {
		t.Fatal(err)
	}
	vitals := httptest.NewServer(&fake{})
	defer vitals.Close()
	url := vitals.URL
	rep, err := Run(context.Background(), Config{Admin: url, Chat: chat.Config{URL: s.URL(), Key: key, Pairs: 4, Duration: 1500 * time.Millisecond}})
	if err != nil || !rep.OK() || rep.Starts == 0 || rep.Chat.Sent == 0 || !strings.Contains(fmt.Sprint(rep.Rows()), "not judged") {
		t.Errorf("%+v, %v", rep, err)
	}
	for want, cfg := range map[string]Config{"admin address": {}, "growth": {Admin: url, Growth: -1}, "is --admin": {Admin: "http://127.0.0.1:1"}} {
		if _, err := Run(context.Background(), cfg); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want an error with %q", err, want)
		}
	}
}
