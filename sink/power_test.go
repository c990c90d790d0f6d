package sink_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/switchyard-im/switchyard/sink"
)

func newSeed(t *testing.T) uint64 {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	return seed
}

// TestPowerCuts cuts the power at random moments under load. What was acknowledged before the cut must be there, transactions
// whole or not at all, whichever part of what was not synced reached the disk.
func TestPowerCuts(t *testing.T) {
	rng := rand.New(rand.NewPCG(newSeed(t), 0))
	fs := vfs.NewCrashableMem()
	cfg := quiet("store")
	cfg.MemTableSize = 1 << 20 // so that logs and tables change often
	store := openFor(t, fs, cfg)
	w := startWorkload(t, store, 3)
	defer w.end()
	for range 25 {
		w.proceed(t, rng)
		acked := w.acked()
		clone := fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: []int{0, 1, 50, 99, 100}[rng.IntN(5)], RNG: rng})
		checkClone(t, rng, w, clone, cfg, acked)
	}
}

// checkClone opens what a cut has left, and cuts the power once more while that is going on.
func checkClone(t *testing.T, rng *rand.Rand, w *workload, clone *vfs.MemFS, cfg sink.Config, acked []uint64) {
	t.Helper()
	store, err := sink.OpenOn(clone, cfg)
	if err != nil {
		t.Fatalf("after a cut: %v", err)
	}
	again := clone.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 50, RNG: rng})
	w.verify(t, store, acked)
	closeStore(t, store)
	store, err = sink.OpenOn(again, cfg)
	if err != nil {
		t.Fatalf("after a second cut: %v", err)
	}
	w.verify(t, store, acked)
	closeStore(t, store)
}
