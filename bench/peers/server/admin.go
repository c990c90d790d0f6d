package server

import (
	"fmt"
	"net"
	"net/http"
	"net/http/pprof"
	"runtime"
	"runtime/debug"
)

// ServeAdmin answers what switchyard-bench asks of a server about its memory, with the paths and names of switchyard's admin address, and
// profiles. It returns when the listener is closed.
func ServeAdmin(l net.Listener) error {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /metrics", metrics)
	mux.HandleFunc("POST /debug/collect", func(w http.ResponseWriter, _ *http.Request) {
		debug.FreeOSMemory()
		w.WriteHeader(http.StatusNoContent)
	})
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	return http.Serve(l, mux)
}

func metrics(w http.ResponseWriter, _ *http.Request) {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	fmt.Fprintf(w, "go_memstats_heap_alloc_bytes %d\ngo_memstats_heap_objects %d\n", m.HeapAlloc, m.HeapObjects)
}
