package main

import (
	"io"
	"net"
	"net/http"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/switchyard-im/switchyard/bench/benchtest/chatserver"
)

// free is an address that nobody listens on.
func free(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// TestMetricsWhileItRuns reads the endpoint of a run until it tells of deliveries, and parses all of it.
func TestMetricsWhileItRuns(t *testing.T) {
	address := free(t)
	type result struct {
		code        int
		out, errOut string
	}
	ended := make(chan result, 1)
	key, server := keyFile(t), chatServer(t, chatserver.Faults{})
	go func() {
		code, out, errOut := bench("chat", "--url", server, "--key", key, "--pairs", "2", "--rate", "200", "--warmup", "0s", "--duration", "2500ms", "--metrics-listen", address)
		ended <- result{code, out, errOut}
	}()
	page := ""
	delivered := regexp.MustCompile(`switchyard_bench_delivered_total\{load=""\} [1-9]`)
	for until := time.Now().Add(20 * time.Second); !delivered.MatchString(page); {
		if time.Now().After(until) || len(ended) > 0 {
			t.Fatalf("no deliveries on the page:\n%s", page)
		}
		time.Sleep(20 * time.Millisecond)
		if r, err := http.Get("http://" + address + "/metrics"); err == nil {
			text, _ := io.ReadAll(r.Body)
			r.Body.Close()
			page = string(text)
		}
	}
	http.DefaultClient.CloseIdleConnections()
	values := map[string]float64{}
	for line := range strings.Lines(page) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), " "); ok && name != "#" {
			v, err := strconv.ParseFloat(value, 64)
			if err != nil {
				t.Fatalf("%q: %v", line, err)
			}
			values[name] = v
		}
	}
	count, sum := values[`switchyard_bench_latency_seconds_count{load="",of="deliver"}`], values[`switchyard_bench_latency_seconds_sum{load="",of="deliver"}`]
	top := values[`switchyard_bench_latency_seconds{load="",of="deliver",quantile="1"}`]
	if values[`switchyard_bench_connections{load=""}`] != 4 || count < 1 || sum <= 0 || sum > 60*count || top <= 0 || top > 60 || !strings.Contains(page, "# TYPE switchyard_bench_sent_total counter") {
		t.Errorf("%v of\n%s", values, page)
	}
	if r := <-ended; r.code != exitOK {
		t.Errorf("%+v", r)
	}
	if _, err := http.Get("http://" + address + "/metrics"); err == nil {
		t.Error("the endpoint outlives its run")
	}
}

func TestMetricsNeedAnAddress(t *testing.T) {
	for _, address := range []string{"nonsense", "127.0.0.1:99999"} {
		code, _, errOut := bench("echo", "--url", "ws://127.0.0.1:1", "--metrics-listen", address)
		if code != exitCannotRun || !strings.Contains(errOut, "--metrics-listen") {
			t.Errorf("%s: %d %s", address, code, errOut)
		}
	}
}

func TestCSVTellsEachSecond(t *testing.T) {
	path := filepath.Join(t.TempDir(), "run.csv")
	code, out, errOut := bench("chat", "--url", chatServer(t, chatserver.Faults{}), "--key", keyFile(t), "--pairs", "2", "--warmup", "0s", "--duration", "1200ms", "--csv", path)
	if code != exitOK {
		t.Fatalf("%d\n%s\n%s", code, out, errOut)
	}
	rows := readCSV(t, path)
	if len(rows) < 2 || rows[1]["sent"] == "" || rows[1]["deliver_p9999_ms"] == "" || rows[1]["generator_cpu_cores"] == "" && rows[0]["generator_rss_bytes"] == "" {
		t.Errorf("%v", rows)
	}
	code, _, errOut = bench("echo", "--url", "ws://127.0.0.1:1", "--csv", filepath.Join(path, "x"))
	if code != exitCannotRun || !strings.Contains(errOut, "not a directory") {
		t.Errorf("%d %s", code, errOut)
	}
}
