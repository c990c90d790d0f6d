package netserver

import (
	"log/slog"
	"strings"
	"testing"
)

// TestReusePort has two servers on one address. Both take connections, and a third that does not ask for it is refused.
func TestReusePort(t *testing.T) {
	first := serve(t, Config{ReusePort: true}, &testHandler{})
	address := first.Addr().String()
	second := serve(t, Config{Listen: address, ReusePort: true}, &testHandler{})
	if _, err := New(Config{Listen: address}, &testHandler{}, slog.New(slog.DiscardHandler), nil); err == nil || !strings.Contains(err.Error(), "reuse_port") {
		t.Errorf("a server that does not share the port: %v", err)
	}
	var took [2]int
	for dials := 0; took[0] == 0 || took[1] == 0; dials++ { // the kernel deals them out by a hash
		if dials == 1000 {
			t.Fatalf("of %d connections the servers took %v", dials, took)
		}
		open(t, first).Close()
		for i, s := range []*Server{first, second} {
			onLoop(t, s.loops[0], func() { took[i] = int(s.loops[0].n.opened) })
		}
	}
}
