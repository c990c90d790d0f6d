package sink

import (
	"runtime"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// oneProcessor has the test run on one, so that who runs next is the scheduler's decision alone.
func oneProcessor(t *testing.T) {
	before := runtime.GOMAXPROCS(1)
	t.Cleanup(func() { runtime.GOMAXPROCS(before) })
}

// TestTableDoesNotHoldOthersUp makes a table as Pebble does, with two goroutines that hand over one block after the other. Somebody who
// becomes ready meanwhile runs after a few blocks, not after the time slice of those two, in which there are thousands.
func TestTableDoesNotHoldOthersUp(t *testing.T) {
	oneProcessor(t)
	const rounds, blocks, few = 20, 1000, 100
	table, err := newFence(vfs.NewMem()).Create("000001.sst", vfs.WriteCategoryUnspecified)
	if err != nil {
		t.Fatal(err)
	}
	queue, done := make(chan []byte), make(chan struct{})
	var written atomic.Int64
	go func() {
		defer close(done)
		for b := range queue {
			_, _ = table.Write(b)
			written.Add(1)
		}
	}()
	block := make([]byte, 64)
	late := 0
	for range rounds {
		queue <- block
		ran := make(chan int64, 1)
		from := written.Load()
		go func() { ran <- written.Load() - from }()
		go func() {}() // who is started last runs first
		for range blocks {
			queue <- block
		}
		if <-ran > few {
			late++
		}
	}
	close(queue)
	<-done
	if late > rounds/2 {
		t.Errorf("in %d of %d rounds more than %d blocks were written before somebody else could run", late, rounds, few)
	}
}

// syncWatch is a file whose sync tells.
type syncWatch struct {
	vfs.File
	onSync func()
}

func (f *syncWatch) SyncData() error { f.onSync(); return nil }

// TestSyncLetsTheWokenRunFirst wakes somebody before each sync of the journal, as Pebble does for the commits of the sync before. They run before the
// system call, which would hold the processor.
func TestSyncLetsTheWokenRunFirst(t *testing.T) {
	oneProcessor(t)
	const syncs = 200
	woken, stopped := make(chan int64, 1), make(chan struct{})
	var ran atomic.Int64
	go func() {
		defer close(stopped)
		for i := range woken {
			ran.Store(i)
		}
	}()
	now, early := int64(0), 0
	journal := &fencedFile{fence: newFence(vfs.NewMem()), name: "000001.log", journal: true, File: &syncWatch{onSync: func() {
		if ran.Load() == now {
			early++
		}
	}}}
	for now = 1; now <= syncs; now++ {
		woken <- now
		_ = journal.Sync()
	}
	close(woken)
	<-stopped
	if early < syncs*9/10 { // the scheduler looks at its queues in another order now and then
		t.Errorf("of %d syncs %d began after those had run who were woken before, want nearly all", syncs, early)
	}
}
