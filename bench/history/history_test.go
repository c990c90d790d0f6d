package history

import (
	"bytes"
	"context"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/switchyard-im/switchyard/bench/benchtest/chatserver"
	"github.com/switchyard-im/switchyard/bench/schedule"
	"github.com/switchyard-im/switchyard/bench/token"
	"github.com/switchyard-im/switchyard/frame"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// quick is a run against a server with faults that ends after some pages, each of which a hook of the server sees.
func quick(t *testing.T, faults chatserver.Faults) (context.Context, Config) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	t.Cleanup(stop)
	var pages atomic.Int64
	change := faults.History
	faults.History = func(log []frame.Message) []frame.Message {
		if pages.Add(1) == 60 {
			stop()
		}
		if change != nil {
			return change(log)
		}
		return log
	}
	s, err := chatserver.Start(faults)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	key, err := token.Parse([]byte(strings.Repeat("5a", 32)))
	if err != nil {
		t.Fatal(err)
	}
	return ctx, Config{URL: s.URL(), API: s.API(), Key: key, Conversations: 3, Messages: 40, Readers: 2, Page: 7, Duration: time.Minute}
}

func TestPagesThatAreInOrder(t *testing.T) {
	for name, change := range map[string]func(*Config){
		"back":      func(*Config) {},
		"forth":     func(c *Config) { c.Forwards = true },
		"one page":  func(c *Config) { c.Page = 200 },
		"open loop": func(c *Config) { c.Rate = schedule.MustConstant(300) },
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cfg := quick(t, chatserver.Faults{})
			change(&cfg)
			rep, err := Run(ctx, cfg)
			if err != nil {
				t.Fatal(err)
			}
			if !rep.OK() || rep.Walks == 0 || rep.Read < 41*rep.Walks || rep.Page.Max <= 0 || rep.Curves()["page"].Count() == 0 {
				t.Errorf("%+v", rep)
			}
		})
	}
}

// TestRefusalsAreWaitedFor: what was refused while it was written comes again, in order.
func TestRefusalsAreWaitedFor(t *testing.T) {
	rep, err := Run(quick(t, chatserver.Faults{Refuse: func(n int) uint64 {
		if n == 30 || n == 70 {
			return frame.ErrorOverloaded
		}
		return 0
	}}))
	if err != nil || !rep.OK() || rep.Walks == 0 {
		t.Errorf("%+v, %v", rep, err)
	}
}

// TestPagesThatNobodyHadTimeForCount: a server that is too slow for the rate is not shown faster by those that were never asked for.
func TestPagesThatNobodyHadTimeForCount(t *testing.T) {
	_, cfg := quick(t, chatserver.Faults{History: func(log []frame.Message) []frame.Message {
		time.Sleep(10 * time.Millisecond)
		return log
	}})
	for _, rate := range []float64{1000, 1e8} {
		cfg.Rate, cfg.Duration = schedule.MustConstant(rate), 300*time.Millisecond
		rep, err := Run(t.Context(), cfg)
		if err != nil || !rep.OK() {
			t.Fatalf("%+v, %v", rep, err)
		}
		due := rate * rep.Seconds
		if n := float64(rep.Curves()["page"].Count()); n < 0.9*due || n > 1.1*due || float64(rep.Unasked) < 0.5*due || rep.Page.P50 < 50 {
			t.Errorf("%.0f pages in the curve, %d not asked for, %.0f were due: %v", n, rep.Unasked, due, rep.Page)
		}
	}
}

// TestTheEndOfARunIsNotWaitedFor by those whose page is due, or to be asked for again, long after.
func TestTheEndOfARunIsNotWaitedFor(t *testing.T) {
	_, cfg := quick(t, chatserver.Faults{})
	base, err := url.Parse(cfg.API)
	if err != nil {
		t.Fatal(err)
	}
	var pages atomic.Int64
	behind := httputil.NewSingleHostReverseProxy(base)
	busy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if pages.Add(1) > 20 {
			w.Header().Set("Retry-After", "60")
			w.WriteHeader(http.StatusTooManyRequests)
			return
		}
		behind.ServeHTTP(w, r)
	}))
	defer busy.Close()
	defer http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	cfg.Duration = 200 * time.Millisecond
	for name, change := range map[string]func(*Config){
		"refused": func(c *Config) { c.API = busy.URL },
		"due":     func(c *Config) { c.Rate = schedule.MustConstant(0.02) },
	} {
		c := cfg
		change(&c)
		began := time.Now()
		if rep, err := Run(t.Context(), c); err != nil || !rep.OK() || time.Since(began) > 30*time.Second {
			t.Errorf("%s: %+v, %v after %s", name, rep, err, time.Since(began))
		}
	}
}

func TestFaultsOfPages(t *testing.T) {
	for name, c := range map[string]struct {
		history func(log []frame.Message) []frame.Message
		count   func(r *Report) int64
	}{
		"not in history":          {func(log []frame.Message) []frame.Message { return slices.Delete(log, 15, 16) }, func(r *Report) int64 { return r.Missing }},
		"duplicated in history":   {func(log []frame.Message) []frame.Message { return slices.Insert(log, 15, log[15]) }, func(r *Report) int64 { return r.Duplicated }},
		"reordered in history":    {func(log []frame.Message) []frame.Message { log[15], log[16] = log[16], log[15]; return log }, func(r *Report) int64 { return r.Reordered }},
		"altered in history":      {func(log []frame.Message) []frame.Message { log[15].Body[9] ^= 1; return log }, func(r *Report) int64 { return r.Altered }},
		"misplaced in history":    {func(log []frame.Message) []frame.Message { log[15].Sender = []byte("eve"); return log }, func(r *Report) int64 { return r.Misplaced }},
		"bad sequence in history": {func(log []frame.Message) []frame.Message { log[15].Prev = 0; return log }, func(r *Report) int64 { return r.Gaps }},
	} {
		for _, forth := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				ctx, cfg := quick(t, chatserver.Faults{History: func(log []frame.Message) []frame.Message {
					log = slices.Clone(log)
					for i := range log {
						log[i].Body = bytes.Clone(log[i].Body)
					}
					return c.history(log)
				}})
				cfg.Forwards = forth
				rep, err := Run(ctx, cfg)
				if err != nil {
					t.Fatal(err)
				}
				named := slices.ContainsFunc(rep.Violations, func(v string) bool { return strings.HasPrefix(v, name+": ") })
				if rep.OK() || c.count(rep) == 0 || !named {
					t.Errorf("%+v", rep)
				}
			})
		}
	}
}

func TestConfigurationsThatCannotBe(t *testing.T) {
	for want, change := range map[string]func(*Config){
		"use 1 to 200":            func(c *Config) { c.Page = 201 },
		"use 32 to":               func(c *Config) { c.Size = 3 },
		"backwards only":          func(c *Config) { c.API, c.Forwards = "", true },
		"has not written 3 conv":  func(c *Config) { c.Again = 77 },
		"too many for 2 readers":  func(c *Config) { c.Threads = 3 },
		"api.listen":              func(c *Config) { c.API = "ws://127.0.0.1:1" },
		"a conversation are out":  func(c *Config) { c.Messages = -1 },
		"must not be negative":    func(c *Config) { c.Duration = -1 },
		"readers and threads mus": func(c *Config) { c.Readers = -1 },
	} {
		ctx, cfg := quick(t, chatserver.Faults{})
		change(&cfg)
		if _, err := Run(ctx, cfg); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}
