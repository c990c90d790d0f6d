package sink

import (
	"context"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"go.uber.org/goleak"

	"github.com/switchyard-im/switchyard/frame"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type waiter chan error

func (w waiter) Committed(err error) { w <- err }

func TestOne(t *testing.T) {
	s, err := openOn(vfs.NewMem(), Config{Dir: "d"})
	if err != nil {
		t.Fatal(err)
	}
	w := make(waiter, 1)
	tx := s.Begin(s.Generation())
	conv := frame.ID{1}
	m := frame.Message{Conv: conv, Seq: 1, Body: []byte{0xc0}}
	tx.Messages(conv, 1, 1, m.Append(nil))
	tx.Commit(w)
	if err := <-w; err != nil {
		t.Fatal(err)
	}
	_, last, n, err := s.ReadAfter(nil, conv, 0, 10, 10, 1000)
	if last != 1 || n != 1 || err != nil {
		t.Fatal(last, n, err)
	}
	if err := s.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
}
