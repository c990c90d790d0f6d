package main

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/switchyard-im/switchyard/bench/audit"
	"github.com/switchyard-im/switchyard/bench/chat"
	"github.com/switchyard-im/switchyard/bench/schedule"
	"github.com/switchyard-im/switchyard/sink/history/chtest"
)

// audited is a chat whose conversations are read back from api.
func audited(i *installation, api string, duration time.Duration) chat.Config {
	return chat.Config{
		URL: "ws://" + i.listen + "/v1/ws", Key: i.signer(), Pairs: 10, Rate: schedule.MustConstant(1000), Duration: duration, Drain: patience,
		RetryMin: 20 * time.Millisecond, RetryMax: 200 * time.Millisecond, RetryJitter: 50 * time.Millisecond,
		History: &audit.Config{URL: api, Within: patience, Page: 50},
	}
}

// TestTheHistoryAfterAKill: what was accepted by a server that was killed is in the history of the next one, and the harness finds what is taken out.
func TestTheHistoryAfterAKill(t *testing.T) {
	api := freeAddress(t)
	i := newInstallation(t, "--set", "api.listen="+api)
	p, _ := i.start()
	cfg := audited(i, "http://"+api, time.Second)
	cfg.Begin = func() {
		time.AfterFunc(300*time.Millisecond, func() { _ = p.cmd.Process.Signal(syscall.SIGKILL) })
	}
	restarted := make(chan struct{})
	go func() { // ends when the server runs again
		defer close(restarted)
		p.wait()
		i.start()
	}()
	rep, err := chat.Run(t.Context(), cfg)
	<-restarted
	if err != nil {
		t.Fatal(err)
	}
	if h := rep.History; !rep.OK() || rep.Reconnects == 0 || h.Conversations != 10 || h.Accepted != rep.Accepted || h.Messages < h.Accepted {
		t.Errorf("%+v, %+v", rep, h)
	}

	cfg = audited(i, withoutOne(t, "http://"+api), 200*time.Millisecond)
	cfg.History.Within = 300 * time.Millisecond
	if rep, err = chat.Run(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	if rep.OK() || rep.History.NotInHistory != 1 || rep.Lost != 0 || !strings.HasPrefix(strings.Join(rep.Violations, ""), "not in history: ") {
		t.Errorf("%+v, %+v", rep, rep.History)
	}
}

// withoutOne passes requests on to the interface at base, and takes the seventh message out of every first page of the conversation that is asked for
// first.
func withoutOne(t *testing.T, base string) (front string) {
	target, err := url.Parse(base)
	if err != nil {
		t.Fatal(err)
	}
	chosen := make(chan string, 1)
	proxy := &httputil.ReverseProxy{
		Rewrite:   func(r *httputil.ProxyRequest) { r.SetURL(target) },
		Transport: &http.Transport{DisableKeepAlives: true},
		ModifyResponse: func(r *http.Response) error {
			select {
			case chosen <- r.Request.URL.Path:
			default:
			}
			first := <-chosen
			chosen <- first
			if r.Request.URL.Path != first || r.Request.URL.Query().Get("after") != "0" {
				return nil
			}
			var page map[string]any
			text, err := io.ReadAll(r.Body)
			if err == nil {
				d := json.NewDecoder(strings.NewReader(string(text)))
				d.UseNumber()
				err = d.Decode(&page)
			}
			if err != nil {
				return err
			}
			page["messages"] = slices.Delete(page["messages"].([]any), 6, 7)
			text, err = json.Marshal(page)
			r.Body, r.ContentLength = io.NopCloser(strings.NewReader(string(text))), int64(len(text))
			r.Header.Set("Content-Length", strconv.Itoa(len(text)))
			return err
		},
	}
	s := httptest.NewServer(proxy)
	t.Cleanup(s.Close)
	return s.URL
}

// TestTheHistoryInClickHouse: what the server's disk has let go of by the end of the run is read back from ClickHouse.
func TestTheHistoryInClickHouse(t *testing.T) {
	ch := chtest.Shared(t)
	i, api := startWithAPI(t, append(withClickhouse(ch.Addr, ch.Database(t)), "--set", "store.retention=1s")...)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cfg := audited(i, api, 2500*time.Millisecond)
	cfg.Pairs, cfg.Rate = 3, schedule.MustConstant(600)
	rep, err := chat.Run(ctx, cfg)
	if err != nil {
		t.Fatal(err)
	}
	if h := rep.History; !rep.OK() || h.Conversations != 3 || h.Accepted != rep.Accepted || h.Accepted < 1000 {
		t.Errorf("%+v, %+v", rep, h)
	}
	if _, body := get(t, i.admin+"/metrics"); strings.Contains(body, "switchyard_sink_pruned_total 0\n") {
		t.Error("all was on the server's disk still: nothing was shown of ClickHouse")
	}
}
