package main

import (
	"testing"

	"github.com/switchyard-im/switchyard/frame"
)

// TestUnavailable: a server whose disk is full says so to whoever wants something stored.
func TestUnavailable(t *testing.T) {
	i := newInstallation(t, "--set", "store.min_free=1TiB", "--set", "conversations.retry_after=3s")
	i.start()
	w := i.login("ann", frame.RoleVisitor)
	w.frames((&frame.Open{Ref: 2, Key: frame.ID{1}, Group: []byte(devGroup)}).Append(nil))
	if e := w.expectError(frame.ErrorUnavailable); e.Ref != 2 || e.RetryMS != 3000 {
		t.Errorf("%+v", e)
	}
}
