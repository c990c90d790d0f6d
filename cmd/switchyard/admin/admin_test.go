package admin

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func start(t *testing.T, ready func() Readiness) (base string) {
	t.Helper()
	reg := prometheus.NewRegistry()
	h := prometheus.NewHistogram(prometheus.HistogramOpts{Name: "switchyard_test_seconds", Buckets: []float64{1}, NativeHistogramBucketFactor: 1.1})
	reg.MustRegister(h)
	h.Observe(0.5)
	s, err := Start(Config{
		Listen: "127.0.0.1:0", ServerID: "srv-1", Version: "v9", Gatherer: reg, Ready: ready, Log: slog.New(slog.DiscardHandler),
		Vars: func() map[string]any { return map[string]any{"connections": 3} },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		http.DefaultClient.CloseIdleConnections()
		s.Close(context.Background())
	})
	return "http://" + s.Addr()
}

func get(t *testing.T, url string, header ...string) (int, string, http.Header) {
	t.Helper()
	req, err := http.NewRequest("GET", url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(header) == 2 {
		req.Header.Set(header[0], header[1])
	}
	r, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return r.StatusCode, string(body), r.Header
}

func ok() Readiness { return Readiness{Ready: true, Checks: map[string]string{"store": "ok"}} }

func TestJSONAnswers(t *testing.T) {
	base := start(t, ok)
	for path, fields := range map[string][]string{
		"/healthz": {"status"}, "/readyz": {"ready", "checks"}, "/varz": {"version", "pid", "uptime_seconds", "connections"},
	} {
		code, body, header := get(t, base+path)
		var v map[string]any
		if err := json.Unmarshal([]byte(body), &v); code != 200 || err != nil || header.Get("Content-Type") != "application/json" {
			t.Errorf("%s: %d, %v: %s", path, code, err, body)
		}
		if now, err := time.Parse(time.RFC3339Nano, v["now"].(string)); err != nil || time.Since(now) > time.Minute || v["server_id"] != "srv-1" {
			t.Errorf("%s: now and server_id: %s", path, body)
		}
		for _, f := range fields {
			if _, has := v[f]; !has {
				t.Errorf("%s lacks %s: %s", path, f, body)
			}
		}
	}
}

func TestReadyFollowsTheServer(t *testing.T) {
	var draining atomic.Bool
	base := start(t, func() Readiness {
		if draining.Load() {
			return Readiness{Checks: map[string]string{"listener": "draining", "store": "ok"}}
		}
		return ok()
	})
	if code, _, _ := get(t, base+"/readyz"); code != 200 {
		t.Errorf("ready: %d", code)
	}
	draining.Store(true)
	if code, body, _ := get(t, base+"/readyz"); code != 503 || !strings.Contains(body, `"listener": "draining"`) {
		t.Errorf("draining: %d %s", code, body)
	}
	if code, _, _ := get(t, base+"/healthz"); code != 200 {
		t.Errorf("a draining server is not dead: %d", code)
	}
}

func TestMetricsAreClassicAndNative(t *testing.T) {
	base := start(t, ok)
	if code, body, _ := get(t, base+"/metrics"); code != 200 || !strings.Contains(body, `switchyard_test_seconds_bucket{le="1"} 1`) {
		t.Errorf("%d: %s", code, body)
	}
	_, body, header := get(t, base+"/metrics", "Accept", "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited")
	if !strings.Contains(header.Get("Content-Type"), "protobuf") || !strings.Contains(body, "switchyard_test_seconds") {
		t.Errorf("protobuf is not offered: %s", header.Get("Content-Type"))
	}
}

func TestOtherPaths(t *testing.T) {
	base := start(t, ok)
	for path, want := range map[string]int{"/": 200, "/debug/pprof/": 200, "/debug/pprof/goroutine?debug=1": 200, "/nothing": 404} {
		if code, _, _ := get(t, base+path); code != want {
			t.Errorf("%s: %d, want %d", path, code, want)
		}
	}
}

// TestCollect: memory that is garbage goes back to the system at once.
func TestCollect(t *testing.T) {
	base := start(t, ok)
	free := func() uint64 {
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapIdle - m.HeapReleased // kept for later
	}
	garbage := make([]byte, 64<<20)
	for i := 0; i < len(garbage); i += 4096 {
		garbage[i] = 1
	}
	runtime.KeepAlive(garbage)
	r, err := http.Post(base+"/debug/collect", "", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Body.Close()
	if r.StatusCode != http.StatusNoContent || free() > 32<<20 {
		t.Errorf("%s; %d bytes are free and kept", r.Status, free())
	}
	if code, _, _ := get(t, base+"/debug/collect"); code != http.StatusMethodNotAllowed {
		t.Errorf("GET: %d, but it changes something", code)
	}
}

func TestAddressInUse(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, err = Start(Config{Listen: l.Addr().String(), Log: slog.New(slog.DiscardHandler)})
	if err == nil || !strings.Contains(err.Error(), "--admin") {
		t.Errorf("%v; want the remedy", err)
	}
}
