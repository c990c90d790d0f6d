package sink_test

import (
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
	"golang.org/x/sys/unix"

	"github.com/switchyard-im/switchyard/dispatch/storetest"
	"github.com/switchyard-im/switchyard/frame"
	"github.com/switchyard-im/switchyard/sink"
)

// faults decides which operations of a file system fail.
type faults struct {
	fail  atomic.Pointer[func(errorfs.Op) error] // nil: none
	count atomic.Int64                           // failed
	free  atomic.Uint64                          // free bytes that the file system tells
}

func (f *faults) String() string { return "faults" }

func (f *faults) MaybeError(op errorfs.Op) error {
	fail := f.fail.Load()
	if fail == nil {
		return nil
	}
	err := (*fail)(op)
	if err != nil {
		f.count.Add(1)
	}
	return err
}

func (f *faults) set(fail func(errorfs.Op) error) { f.fail.Store(&fail) }
func (f *faults) clear()                          { f.fail.Store(nil) }

// faultyFS is a file system with faults.
type faultyFS struct {
	vfs.FS
	faults *faults
}

func newFaulty(base vfs.FS) faultyFS {
	f := &faults{}
	f.free.Store(1 << 40)
	return faultyFS{FS: errorfs.Wrap(base, f), faults: f}
}

func (f faultyFS) GetDiskUsage(string) (vfs.DiskUsage, error) {
	return vfs.DiskUsage{AvailBytes: f.faults.free.Load()}, nil
}

// ReuseForWrite is for the files of the journal that are used again. Errorfs would hand them out without faults, so that a test could wait for one for ever.
func (f faultyFS) ReuseForWrite(oldname, newname string, category vfs.DiskWriteCategory) (vfs.File, error) {
	if err := f.FS.Rename(oldname, newname); err != nil {
		return nil, err
	}
	return f.FS.OpenReadWrite(newname, category)
}

// holdSync holds up the next operation that makes something durable, and those that follow, until goOn is closed; syncing is closed when there is one.
func (f faultyFS) holdSync() (syncing, goOn chan struct{}) {
	syncing, goOn = make(chan struct{}), make(chan struct{})
	var once sync.Once
	f.faults.set(func(op errorfs.Op) error {
		if changes(op) && op.Kind != errorfs.OpFileWrite {
			once.Do(func() { close(syncing) })
			<-goOn
		}
		return nil
	})
	return syncing, goOn
}

func changes(op errorfs.Op) bool { return op.Kind.ReadOrWrite() == errorfs.OpIsWrite }

// TestRandomFaults lets random operations fail for random times, under load, with power cuts in between. Nothing that was
// acknowledged may be lost, and each time the store must come back by itself.
func TestRandomFaults(t *testing.T) {
	rng := rand.New(rand.NewPCG(newSeed(t), 0))
	mem := vfs.NewCrashableMem()
	fs := newFaulty(mem)
	cfg := quiet("store")
	cfg.MemTableSize = 1 << 20
	store := openFor(t, fs, cfg)
	w := startWorkload(t, store, 3)
	defer w.end()
	for range 20 {
		w.proceed(t, rng)
		strike(t, rng, fs.faults, w)
		time.Sleep(time.Duration(rng.IntN(20)) * time.Millisecond) // the time of the outage; nothing depends on it
		acked := w.acked()
		clone := mem.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: rng.IntN(101), RNG: rng})
		fs.faults.clear()
		checkClone(t, rng, w, clone, cfg, acked)
		waitFor(t, "the end of the outage", store.Available)
		w.proceed(t, rng)
	}
}

// strike makes a random fault happen, and waits until the workload, which it makes write, has run into it.
func strike(t *testing.T, rng *rand.Rand, f *faults, w *workload) {
	t.Helper()
	before := f.count.Load()
	inject(rng, f)
	waitFor(t, "a fault", func() bool { w.raise(60); return f.count.Load() > before })
}

// inject makes operations fail: once or until cleared, at random, of one kind or of all. The first comes within oneIn operations of the kind, however
// unlucky the random numbers: a wait for it lets the store grow, and a large store with small tables is slow.
func inject(rng *rand.Rand, f *faults) {
	err := []error{unix.ENOSPC, unix.EIO, unix.EROFS}[rng.IntN(3)]
	journalOnly, syncOnly := rng.IntN(3) == 0, rng.IntN(3) == 0
	once, oneIn := rng.IntN(2) == 0, 1+rng.IntN(20)
	local := rand.New(rand.NewPCG(rng.Uint64(), 0))
	var mu sync.Mutex
	done, misses := false, 0
	f.set(func(op errorfs.Op) error {
		mu.Lock()
		defer mu.Unlock()
		sync := op.Kind == errorfs.OpFileSync || op.Kind == errorfs.OpFileSyncData || op.Kind == errorfs.OpFileSyncTo
		if !changes(op) || done || syncOnly && !sync || journalOnly && len(op.Path) > 4 && op.Path[len(op.Path)-4:] != ".log" {
			return nil
		}
		if misses++; local.IntN(oneIn) > 0 && misses < oneIn {
			return nil
		}
		done, misses = once, 0
		return err
	})
}

// TestFailedSync checks one failure step by step.
func TestFailedSync(t *testing.T) {
	fs := newFaulty(vfs.NewMem())
	store := openFor(t, fs, quiet("store"))
	conv := frame.ID{1}
	put := func(generation, seq uint64) error {
		w := storetest.NewWaiter(1)
		tx := store.Begin(generation)
		tx.Messages(conv, seq, seq, storetest.Messages(conv, seq, seq, 10))
		tx.Commit(w)
		return w.Wait(t)
	}
	old := store.Generation()
	if err := put(old, 1); err != nil {
		t.Fatal(err)
	}
	fs.faults.set(func(op errorfs.Op) error {
		if changes(op) && op.Kind != errorfs.OpFileWrite {
			return unix.EIO
		}
		return nil
	})
	if err := put(old, 2); !errors.Is(err, sink.ErrUnavailable) {
		t.Fatalf("a commit whose sync failed ended with %v", err)
	}
	if store.Available() || store.Generation() == old {
		t.Errorf("after a failure: available %v, generation %d as before", store.Available(), store.Generation())
	}
	during := store.Generation()
	if err := put(during, 2); !errors.Is(err, sink.ErrUnavailable) {
		t.Errorf("a commit during the outage ended with %v", err)
	}
	if _, _, _, err := store.LoadConversation(conv, 1); !errors.Is(err, sink.ErrUnavailable) {
		t.Errorf("a read during the outage ended with %v", err)
	}
	fs.faults.clear()
	waitFor(t, "recovery", store.Available)
	for _, generation := range []uint64{old, during} {
		if err := put(generation, 3); !errors.Is(err, sink.ErrUnavailable) {
			t.Errorf("a commit of generation %d ended with %v in generation %d", generation, err, store.Generation())
		}
	}
	_, frames, _, err := store.LoadConversation(conv, 10)
	if err != nil {
		t.Fatal(err)
	}
	head := uint64(len(storetest.Sequences(t, frames))) // 1, or 2 if the record that was never acknowledged reached the disk
	if err := put(store.Generation(), head+1); err != nil {
		t.Errorf("after recovery: %v", err)
	}
}

// TestEmptyBehindFailedSync checks that an empty transaction that was taken while the one before it synced ends as that one does: whoever
// committed it promised something that stands on the other.
func TestEmptyBehindFailedSync(t *testing.T) {
	fs := newFaulty(vfs.NewMem())
	store := openFor(t, fs, quiet("store"))
	syncing, goOn := make(chan struct{}), make(chan struct{})
	var once sync.Once
	fs.faults.set(func(op errorfs.Op) error {
		if changes(op) && op.Kind != errorfs.OpFileWrite {
			once.Do(func() { close(syncing) })
			<-goOn
			return unix.EIO
		}
		return nil
	})
	conv, w := frame.ID{1}, storetest.NewWaiter(1)
	tx := store.Begin(store.Generation())
	tx.Messages(conv, 1, 1, storetest.Messages(conv, 1, 1, 10))
	tx.Commit(w)
	<-syncing
	empty := storetest.NewWaiter(1)
	store.Begin(store.Generation()).Commit(empty)
	time.Sleep(50 * time.Millisecond) // so that it is taken; without it the test would pass for another reason
	close(goOn)
	for what, w := range map[string]*storetest.Waiter{"the failed one": w, "the empty one behind it": empty} {
		if err := w.Wait(t); !errors.Is(err, sink.ErrUnavailable) {
			t.Errorf("%s ended with %v", what, err)
		}
	}
	fs.faults.clear()
}

// TestLowSpace refuses before the disk is full, reads all the while, and accepts again with some more than the limit.
func TestLowSpace(t *testing.T) {
	fs := newFaulty(vfs.NewMem())
	cfg := quiet("store")
	cfg.MinFree = 800
	store := openFor(t, fs, cfg)
	w := storetest.NewWaiter(1)
	commit := func() error {
		tx := store.Begin(store.Generation())
		tx.Conversation(frame.ID{1}, []byte("x"), true)
		tx.Commit(w)
		return w.Wait(t)
	}
	if err := commit(); err != nil {
		t.Fatal(err)
	}
	old := store.Generation()
	fs.faults.free.Store(799)
	waitFor(t, "refusal", func() bool { return !store.Available() })
	if err := commit(); !errors.Is(err, sink.ErrUnavailable) {
		t.Errorf("a commit with little space ended with %v", err)
	}
	if _, _, ok, err := store.LoadConversation(frame.ID{1}, 1); !ok || err != nil {
		t.Errorf("a read with little space: %v, %v", ok, err)
	}
	fs.faults.free.Store(899)
	time.Sleep(5 * cfg.SpaceInterval)
	if store.Available() {
		t.Error("available again below the limit and an eighth")
	}
	fs.faults.free.Store(900)
	waitFor(t, "recovery", store.Available)
	if store.Generation() == old {
		t.Error("the generation was not raised")
	}
	if err := commit(); err != nil {
		t.Error(err)
	}
}
