package observe

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestThisProcess(t *testing.T) {
	u, err := New(os.Getpid(), "").Read(context.Background())
	if err != nil || u.RSSBytes < 1<<20 || u.CPUSeconds > Self()+1 || Self() <= 0 {
		t.Errorf("%+v, %v", u, err)
	}
	if _, err := New(1<<30, "").Read(context.Background()); err == nil {
		t.Error("read a process that is not there")
	}
	if New(0, "") != nil {
		t.Error("a source of nothing")
	}
}

func TestParseProc(t *testing.T) {
	stat := "42 (a (b) c) S 1 2 3 4 5 6 7 8 9 10 250 50 0 0"
	u, err := parseProc(stat, "100 7 3")
	if err != nil || u.CPUSeconds != 3 || u.RSSBytes != 7*int64(os.Getpagesize()) {
		t.Errorf("%+v, %v", u, err)
	}
	for _, bad := range [][2]string{{"", ""}, {"42 (x) S 1", "1 2"}, {stat, "1"}, {strings.Replace(stat, "250", "x", 1), "1 2"}} {
		if _, err := parseProc(bad[0], bad[1]); err == nil {
			t.Errorf("%q was accepted", bad)
		}
	}
}

func TestMetrics(t *testing.T) {
	page := "# HELP process_cpu_seconds_total x\nprocess_cpu_seconds_total 12.5\nother{a=\"b\"} 1\nprocess_resident_memory_bytes 1.5e+07\n"
	status := http.StatusOK
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/metrics" {
			t.Errorf("asked for %s", r.URL)
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, page)
	}))
	defer s.Close()
	source := New(0, s.URL+"/")
	u, err := source.Read(context.Background())
	if err != nil || u != (Usage{CPUSeconds: 12.5, RSSBytes: 15_000_000}) {
		t.Errorf("%+v, %v", u, err)
	}
	page = "process_cpu_seconds_total x\n"
	if _, err := source.Read(context.Background()); err == nil {
		t.Error("read a number that is none")
	}
	page = "process_cpu_seconds_total 1\n"
	if _, err := source.Read(context.Background()); err == nil {
		t.Error("read what is not there")
	}
	status = http.StatusNotFound
	if _, err := source.Read(context.Background()); err == nil || !strings.Contains(err.Error(), "404") {
		t.Error(err)
	}
	if _, err := New(0, "http://127.0.0.1:1").Read(context.Background()); err == nil || !strings.Contains(err.Error(), "--admin") {
		t.Error(err)
	}
}

func TestCollectorsPart(t *testing.T) {
	page := "process_cpu_seconds_total 5\nprocess_resident_memory_bytes 7\ngo_cpu_classes_gc_total_cpu_seconds_total 0.25\n"
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, page) }))
	defer s.Close()
	for _, pid := range []int{0, os.Getpid()} {
		source := New(pid, s.URL)
		if u, err := source.Read(context.Background()); err != nil || u.GCSeconds != 0.25 || u.RSSBytes == 0 || (pid == 0) != (u.RSSBytes == 7) {
			t.Errorf("%+v, %v", u, err)
		}
	}
	page = "process_cpu_seconds_total 5\nprocess_resident_memory_bytes 7\n"
	if u, err := New(0, s.URL).Read(context.Background()); err != nil || u.GCSeconds != 0 {
		t.Errorf("%+v, %v", u, err)
	}
	if _, err := New(os.Getpid(), "http://127.0.0.1:1").Read(context.Background()); err == nil || !strings.Contains(err.Error(), "--admin") {
		t.Error(err)
	}
}

func TestReadHeap(t *testing.T) {
	page := "go_memstats_heap_alloc_bytes 2.5e+06\ngo_memstats_heap_objects 300\n"
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, page) }))
	defer s.Close()
	if h, err := ReadHeap(context.Background(), s.URL); err != nil || h != (Heap{Bytes: 2_500_000, Objects: 300}) {
		t.Errorf("%+v, %v", h, err)
	}
	page = "go_memstats_heap_objects 300\n"
	if _, err := ReadHeap(context.Background(), s.URL); err == nil || !strings.Contains(err.Error(), "heap_alloc") {
		t.Error(err)
	}
}

func TestBetween(t *testing.T) {
	u, err := Between(Usage{CPUSeconds: 1, RSSBytes: 9, GCSeconds: 0.5}, Usage{CPUSeconds: 3, RSSBytes: 5, GCSeconds: 0.75})
	if err != nil || u != (Usage{CPUSeconds: 2, RSSBytes: 5, GCSeconds: 0.25}) {
		t.Errorf("%+v, %v", u, err)
	}
	for _, before := range []Usage{{CPUSeconds: 3}, {GCSeconds: 3}} {
		if _, err := Between(before, Usage{CPUSeconds: 1, GCSeconds: 1}); !errors.Is(err, ErrRestarted) {
			t.Error(err)
		}
	}
}
