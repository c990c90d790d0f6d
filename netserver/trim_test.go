package netserver

import (
	"sync/atomic"
	"testing"
	"time"
)

// trimmed counts how often each loop told it to give memory back.
type trimmed struct {
	testHandler
	loops [2]atomic.Int64
}

func (h *trimmed) Trim(loop int) { h.loops[loop].Add(1) }

// TestHandlerIsTrimmed: each loop tells its handler, again and again, without any connection.
func TestHandlerIsTrimmed(t *testing.T) {
	h := &trimmed{}
	serve(t, Config{Loops: 2, tick: time.Millisecond}, h)
	for i := range h.loops {
		eventually(t, "a loop trims twice", func() bool { return h.loops[i].Load() >= 2 })
	}
}
