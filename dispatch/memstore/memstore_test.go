package memstore_test

import (
	"errors"
	"testing"

	"go.uber.org/goleak"

	"github.com/switchyard-im/switchyard/dispatch"
	"github.com/switchyard-im/switchyard/dispatch/memstore"
	"github.com/switchyard-im/switchyard/dispatch/storetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestContract(t *testing.T) {
	storetest.Run(t, func(t *testing.T) dispatch.Store {
		s := memstore.New()
		t.Cleanup(s.Close)
		return s
	})
}

func TestFailRefusesAndRaisesTheGeneration(t *testing.T) {
	s := memstore.New()
	defer s.Close()
	before := s.Generation()
	s.Hold()
	done := storetest.NewWaiter(1)
	s.Begin(before).Commit(done)
	s.Fail()
	s.Resume()
	if err := done.Wait(t); !errors.Is(err, dispatch.ErrUnavailable) {
		t.Errorf("a commit in flight ended with %v", err)
	}
	if s.Available() || s.Generation() == before {
		t.Error("a failed store is available or in its old generation")
	}
	if _, _, _, err := s.LoadConversation([16]byte{1}, 1); !errors.Is(err, dispatch.ErrUnavailable) {
		t.Errorf("a read of a failed store ended with %v", err)
	}
	s.Recover()
	s.Begin(s.Generation()).Commit(done)
	if err := done.Wait(t); err != nil || !s.Available() {
		t.Errorf("after Recover: %v, available %v", err, s.Available())
	}
}
