package audit_test

import (
	"bytes"
	"context"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/switchyard-im/switchyard/bench/audit"
	"github.com/switchyard-im/switchyard/bench/benchtest"
	"github.com/switchyard-im/switchyard/bench/benchtest/chatserver"
	"github.com/switchyard-im/switchyard/bench/chat"
	"github.com/switchyard-im/switchyard/bench/schedule"
	"github.com/switchyard-im/switchyard/frame"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// run chats for a moment with a server whose history has faults, and reads all of it back.
func run(t *testing.T, faults chatserver.Faults, change func(*audit.Config)) (*chat.Report, error) {
	t.Helper()
	s := benchtest.Chat(t, faults)
	cfg := &audit.Config{URL: s.API(), Within: 100 * time.Millisecond}
	if change != nil {
		change(cfg)
	}
	return chat.Run(context.Background(), chat.Config{URL: s.URL(), Key: benchtest.Key(t), Pairs: 3, Rate: schedule.MustConstant(600), Duration: 100 * time.Millisecond, History: cfg})
}

func TestEverythingIsReadBack(t *testing.T) {
	for name, change := range map[string]func(*audit.Config){
		"at once":        nil,
		"in small pages": func(c *audit.Config) { c.Page = 7 },
		"one by one":     func(c *audit.Config) { c.Readers = 1 },
		"a sample":       func(c *audit.Config) { c.Sample = 2 },
	} {
		rep, err := run(t, chatserver.Faults{}, change)
		if err != nil {
			t.Fatal(name, err)
		}
		conversations, accepted := int64(3), rep.Accepted
		if name == "a sample" {
			conversations, accepted = 2, rep.Accepted*2/3
		}
		if h := rep.History; !rep.OK() || h.Conversations != conversations || h.Accepted < accepted-3 || h.Accepted > accepted+3 || h.Messages != h.Accepted+2*conversations {
			t.Errorf("%s: %d accepted, %+v", name, rep.Accepted, rep.History)
		}
	}
}

// TestFaultsOfTheHistory: delivered and acknowledged as it must be, and not what the history says tomorrow.
func TestFaultsOfTheHistory(t *testing.T) {
	for name, c := range map[string]struct {
		history func(log []frame.Message) []frame.Message
		count   func(r *audit.Report) int64
	}{
		"not in history":          {func(log []frame.Message) []frame.Message { return slices.Delete(log, 5, 6) }, func(r *audit.Report) int64 { return r.NotInHistory }},
		"duplicated in history":   {func(log []frame.Message) []frame.Message { return append(log, again(log, 5)) }, func(r *audit.Report) int64 { return r.Duplicated }},
		"reordered in history":    {func(log []frame.Message) []frame.Message { log[5], log[6] = log[6], log[5]; return log }, func(r *audit.Report) int64 { return r.Reordered }},
		"altered in history":      {func(log []frame.Message) []frame.Message { log[5].Body[9] ^= 1; return log }, func(r *audit.Report) int64 { return r.Altered }},
		"misplaced in history":    {func(log []frame.Message) []frame.Message { log[5].Sender = []byte("eve"); return log }, func(r *audit.Report) int64 { return r.Misplaced }},
		"bad sequence in history": {func(log []frame.Message) []frame.Message { log[5].Prev = 0; return log }, func(r *audit.Report) int64 { return r.BadSequences }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rep, err := run(t, chatserver.Faults{History: func(log []frame.Message) []frame.Message {
				log = slices.Clone(log)
				for i := range log {
					log[i].Body = bytes.Clone(log[i].Body)
				}
				return c.history(log)
			}}, nil)
			if err != nil {
				t.Fatal(err)
			}
			named := slices.ContainsFunc(rep.Violations, func(v string) bool { return strings.HasPrefix(v, name+": pair ") })
			if rep.OK() || c.count(rep.History) == 0 || !named || rep.Lost+rep.Altered+rep.Duplicated != 0 {
				t.Errorf("%+v %q", rep.History, rep.Violations)
			}
		})
	}
}

// again is a copy of a message behind the last one.
func again(log []frame.Message, i int) frame.Message {
	m, last := log[i], log[len(log)-1].Seq
	m.Seq, m.Prev = last+1, last
	return m
}

// TestWhatIsOnItsWayIsWaitedFor: at first the history lacks what was accepted last.
func TestWhatIsOnItsWayIsWaitedFor(t *testing.T) {
	var readings atomic.Int64
	rep, err := run(t, chatserver.Faults{History: func(log []frame.Message) []frame.Message {
		if readings.Add(1) <= 4 {
			return log[:len(log)-3]
		}
		return log
	}}, func(c *audit.Config) { c.Within = 20 * time.Second })
	if err != nil || !rep.OK() || readings.Load() < 5 {
		t.Errorf("%+v, %v", rep, err)
	}
}

// before is the URL of a server that stands in front of another and hands on the requests that handle has not done.
func before(t *testing.T, behind string, handle func(w http.ResponseWriter, r *http.Request) (done bool)) string {
	t.Helper()
	target, err := url.Parse(behind)
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{DisableKeepAlives: true}
	proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target) }, Transport: transport}
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !handle(w, r) {
			proxy.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(front.Close)
	return front.URL + "/"
}

// TestASampleOfASharedLoad has as many conversations as one that is not, whichever parts have them.
func TestASampleOfASharedLoad(t *testing.T) {
	for _, c := range []struct{ n, of, sample, want int }{{10, 1, 0, 10}, {10, 1, 3, 3}, {10, 3, 1, 1}, {10, 3, 5, 5}, {10, 3, 0, 10}, {10, 4, 10, 10}, {10, 4, 99, 10}} {
		cfg, total := audit.Config{Sample: c.sample}, 0
		for part := range c.of {
			for i, chosen := range cfg.Chosen(c.n, part, c.of) {
				if chosen && i%c.of != part {
					t.Errorf("%+v: part %d has chosen %d", c, part, i)
				} else if chosen {
					total++
				}
			}
		}
		if total != c.want {
			t.Errorf("%+v: %d chosen", c, total)
		}
	}
}

// TestServersThatDoNotAnswer: for a while that is waited for; for good, it is no proof.
func TestServersThatDoNotAnswer(t *testing.T) {
	for name, c := range map[string]struct {
		refusals int64
		within   time.Duration
		handle   http.HandlerFunc
		want     string
	}{
		"for a moment": {4, 20 * time.Second, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) }, ""},
		"for good": {1 << 60, 250 * time.Millisecond, func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusServiceUnavailable)
			_, _ = w.Write([]byte(`{"error":{"code":"unavailable","text":"ClickHouse is away"}}`))
		}, "503 unavailable: ClickHouse is away"},
		"with nonsense": {1 << 60, 20 * time.Second, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("<html>hello")) }, "is it the URL of api.listen?"},
		"without end":   {1 << 60, 20 * time.Second, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(`{"messages":[],"more":true}`)) }, "goes no further"},
		"no frames": {1 << 60, 20 * time.Second, func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write([]byte(`{"messages":[{"conv":"x","sender":"","id":null,"kind":"event","body":null}]}`))
		}, "message 0"},
		"not for us": {1 << 60, 20 * time.Second, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) }, "403"},
		"nothing": {1 << 60, 250 * time.Millisecond, func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusNotFound)
			_, _ = w.Write([]byte(`{"error":{"code":"not_found","text":"there is no such conversation"}}`))
		}, "not in history: pair"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var asked atomic.Int64
			rep, err := run(t, chatserver.Faults{}, func(cfg *audit.Config) {
				cfg.URL, cfg.Within = before(t, cfg.URL, func(w http.ResponseWriter, r *http.Request) (done bool) {
					if asked.Add(1) > c.refusals {
						return false
					}
					c.handle(w, r)
					return true
				}), c.within
			})
			if err != nil {
				t.Fatal(err)
			}
			if c.want == "" && !rep.OK() || c.want != "" && (rep.OK() || !strings.Contains(strings.Join(rep.Violations, "\n"), c.want)) {
				t.Errorf("%+v %q", rep.History, rep.Violations)
			}
		})
	}
}

// TestARefusalLateInALongAudit is waited for too: what others took of the time is not its own.
func TestARefusalLateInALongAudit(t *testing.T) {
	t.Parallel() // it mostly waits
	const within = time.Second
	var asked atomic.Int64
	rep, err := run(t, chatserver.Faults{}, func(cfg *audit.Config) {
		cfg.URL = before(t, cfg.URL, func(w http.ResponseWriter, r *http.Request) (done bool) {
			switch asked.Add(1) {
			case 1:
				time.Sleep(within + 100*time.Millisecond)
			case 2:
				w.WriteHeader(http.StatusTooManyRequests)
				return true
			}
			return false
		})
		cfg.Within, cfg.Readers = within, 1
	})
	if err != nil || !rep.OK() || asked.Load() != 4 {
		t.Errorf("%+v %q, %v after %d requests", rep.History, rep.Violations, err, asked.Load())
	}
}

func TestConfigurationsThatCannotBeUsed(t *testing.T) {
	for want, change := range map[string]func(*audit.Config){
		"api.listen": func(c *audit.Config) { c.URL = "ws://127.0.0.1:1" },
		"bad URL":    func(c *audit.Config) { c.URL = "http://[" },
		"at most":    func(c *audit.Config) { c.Page = 1000 },
		"negative":   func(c *audit.Config) { c.Sample = -1 },
	} {
		if _, err := run(t, chatserver.Faults{}, change); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want an error with %q", err, want)
		}
	}
}

// TestSamplesAreFair: of a number of conversations that nobody knows beforehand, as many as asked for are kept, each as often as any other.
func TestSamplesAreFair(t *testing.T) {
	const of, keep, rounds = 20, 5, 4000
	often := map[string]int{}
	for range rounds {
		s := (&audit.Config{Sample: 2 * keep}).NewSample(2)
		for n := range of {
			s.Add(func() audit.Conversation { return audit.Conversation{User: strconv.Itoa(n)} })
		}
		for _, c := range s.Conversations() {
			often[c.User]++
		}
	}
	for n := range of {
		if got, want := often[strconv.Itoa(n)], rounds*keep/of; got < want*3/4 || got > want*5/4 {
			t.Errorf("conversation %d was kept %d times, want about %d", n, got, want)
		}
	}
	var none *audit.Config
	none.NewSample(1).Add(func() audit.Conversation { t.Error("kept"); return audit.Conversation{} })
	all := (&audit.Config{}).NewSample(1)
	for range of {
		all.Add(func() audit.Conversation { return audit.Conversation{} })
	}
	if len(all.Conversations()) != of {
		t.Errorf("%d of %d were kept", len(all.Conversations()), of)
	}
}
