package sink_test

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"go.uber.org/goleak"

	"github.com/switchyard-im/switchyard/dispatch"
	"github.com/switchyard-im/switchyard/dispatch/storetest"
	"github.com/switchyard-im/switchyard/sink"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// adapted makes a dispatch.Store of a sink.Store, as cmd does.
type adapted struct{ *sink.Store }

func (s adapted) Begin(generation uint64) dispatch.Tx { return adaptedTx{s.Store.Begin(generation)} }

type adaptedTx struct{ *sink.Tx }

func (t adaptedTx) Commit(done dispatch.Completion) { t.Tx.Commit(done) }

// quiet is a configuration without logs. Opening is retried at once.
func quiet(dir string) sink.Config {
	return sink.Config{Dir: dir, Logger: slog.New(slog.DiscardHandler), ReopenMin: time.Millisecond, ReopenMax: 10 * time.Millisecond, SpaceInterval: 5 * time.Millisecond}
}

func openFor(t testing.TB, fs vfs.FS, cfg sink.Config) *sink.Store {
	t.Helper()
	s, err := sink.OpenOn(fs, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeStore(t, s) })
	return s
}

func closeStore(t testing.TB, s *sink.Store) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := s.Close(ctx); err != nil {
		t.Errorf("close: %v", err)
	}
}

func TestContractInMemory(t *testing.T) {
	storetest.Run(t, func(t *testing.T) dispatch.Store {
		return adapted{openFor(t, vfs.NewMem(), quiet("store"))}
	})
}

func TestContractOnDisk(t *testing.T) {
	storetest.Run(t, func(t *testing.T) dispatch.Store {
		return adapted{openFor(t, vfs.Default, quiet(t.TempDir()))}
	})
}

func TestContractWithoutFsync(t *testing.T) {
	cfg := quiet(t.TempDir())
	cfg.Durability = sink.DurabilityUnsafeNoFsync
	storetest.Run(t, func(t *testing.T) dispatch.Store {
		cfg.Dir = t.TempDir()
		return adapted{openFor(t, vfs.Default, cfg)}
	})
}

// TestContractOneByOne forces every transaction into a batch of its own, with one transaction and one batch in flight.
func TestContractOneByOne(t *testing.T) {
	storetest.Run(t, func(t *testing.T) dispatch.Store {
		cfg := quiet("store")
		cfg.MaxBatchOps, cfg.PipelineDepth, cfg.SyncInterval = 1, 1, -1
		return adapted{openFor(t, vfs.NewMem(), cfg)}
	})
}
