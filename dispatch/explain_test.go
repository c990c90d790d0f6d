package dispatch

import (
	"context"
	"errors"
	"testing"

	"github.com/switchyard-im/switchyard/frame"
)

// Whoever asks a desk that does not answer waits no longer than it wants to, or than the center lives.
func TestExplainDoesNotWaitForEver(t *testing.T) {
	c := &Center{quit: make(chan struct{})}
	c.desk = newDeskRunner(c)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := c.Explain(ctx, frame.ID{1}); !errors.Is(err, context.Canceled) {
		t.Errorf("who has gone: %v", err)
	}
	close(c.quit)
	if _, _, err := c.Explain(t.Context(), frame.ID{1}); !errors.Is(err, errStopped) {
		t.Errorf("after the end: %v", err)
	}
}
