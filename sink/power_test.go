package sink_test

import (
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/switchyard-im/switchyard/dispatch/storetest"
	"github.com/switchyard-im/switchyard/frame"
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

// cutAt calls cut right after a file whose name begins with prefix was made.
type cutAt struct {
	vfs.FS
	prefix string
	cut    func()
}

func (f cutAt) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	file, err := f.FS.Create(name, category)
	if err == nil && strings.HasPrefix(f.PathBase(name), f.prefix) {
		f.cut()
	}
	return file, err
}

// TestPowerCutAtMarker cuts the power between the marker that names a new manifest and the sync of the directory, of a new store and of an old one. Any
// part of what the directory got since its last sync may have reached the disk then: with Pebble alone also the marker without the manifest.
func TestPowerCutAtMarker(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 0))
	mem, cfg := vfs.NewCrashableMem(), quiet("store")
	for _, messages := range []int{0, 10} {
		if messages > 0 {
			write(t, mem, cfg, messages)
		}
		var clones []*vfs.MemFS
		store, err := sink.OpenOn(cutAt{FS: mem, prefix: "marker.manifest.", cut: func() {
			for range 16 {
				clones = append(clones, mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: 50, RNG: rng}))
			}
		}}, cfg)
		if err != nil {
			t.Fatal(err)
		}
		closeStore(t, store)
		if len(clones) == 0 {
			t.Fatal("opening a store made no new manifest, so this tests nothing")
		}
		for i, clone := range clones {
			store, err := sink.OpenOn(clone, cfg)
			if err != nil {
				t.Fatalf("%d messages, cut %d: %v", messages, i, err)
			}
			_, frames, _, err := store.LoadConversation(frame.ID{1}, 20)
			if n := len(storetest.Sequences(t, frames)); n != messages || err != nil {
				t.Errorf("cut %d: %d of %d messages, %v", i, n, messages, err)
			}
			closeStore(t, store)
		}
	}
}
