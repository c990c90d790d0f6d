package sink

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// errFenced is what reading through a fallen fence ends with.
var errFenced = errors.New("sink: this instance of the store has failed and is being closed")

// fence stands between one instance of Pebble and the file system. It falls with the first operation that should have changed the
// disk and failed, and stays so.
//
// A fallen fence lets nothing through to the disk, and tells Pebble that all went well, the failed operation included. This is
// what makes a failure survivable: Pebble's answers to a failed write are panics with locks held and the end of the process; told
// that all is well, it can be closed in an orderly way. Nothing of it is believed: whoever acknowledges or reads looks at fallen
// afterwards, and the order is fall first, then answer Pebble.
//
// It is safe for concurrent use.
type fence struct {
	vfs.FS // the real file system

	// Fixed after construction.
	noFsync  bool                    // the journal is synced only when one of its files is closed
	onFall   func(error)             // called once, before the failed operation returns
	onSync   func(time.Duration)     // called after each sync of the journal
	onReplay func(name string) error // asked before a file of the journal is opened to be read

	once   sync.Once
	fallen atomic.Bool
	down   chan struct{} // closed when it falls
	cause  error         // valid after down is closed
}

func newFence(base vfs.FS) *fence {
	return &fence{
		FS:       base,
		onFall:   func(error) {},
		onSync:   func(time.Duration) {},
		onReplay: func(string) error { return nil },
		down:     make(chan struct{}),
	}
}

// fall lets the fence fall; only the first cause counts.
func (f *fence) fall(cause error) {
	f.once.Do(func() {
		f.onFall(cause)
		f.cause = cause
		f.fallen.Store(true)
		close(f.down)
	})
}

// change runs an operation that changes the disk, unless the fence has fallen. It reports whether the operation was done; if not, the
// caller answers as if.
func (f *fence) change(what, name string, op func() error) bool {
	if f.fallen.Load() {
		return false
	}
	if err := op(); err != nil {
		f.fall(fmt.Errorf("%s %s: %w", what, name, err))
		return false
	}
	return true
}

func isJournal(name string) bool { return strings.HasSuffix(name, ".log") }

func isTable(name string) bool { return strings.HasSuffix(name, ".sst") }

// open runs an operation that makes a file to be written, and wraps the file.
func (f *fence) open(what, name string, op func() (vfs.File, error)) (vfs.File, error) {
	var file vfs.File
	if !f.change(what, name, func() (err error) { file, err = op(); return err }) {
		return &fencedFile{File: blackHole{}, fence: f, name: name}, nil
	}
	return &fencedFile{File: file, fence: f, name: name, journal: isJournal(name), table: isTable(name)}, nil
}

// manifestMarker is how the names of the files begin that name the manifest which is in force.
const manifestMarker = "marker.manifest."

// Create makes a file. Pebble syncs a new manifest, then makes the marker that names it, and only then syncs the directory: POSIX lets a power cut in
// between keep the marker without the manifest, and then the store does not open any more. So the directory is synced before the marker as well. If
// that fails there is no new marker, and the old one with its manifest stays.
func (f *fence) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	if strings.HasPrefix(f.FS.PathBase(name), manifestMarker) {
		f.syncDir(f.FS.PathDir(name))
	}
	return f.open("create", name, func() (vfs.File, error) { return f.FS.Create(name, category) })
}

func (f *fence) OpenReadWrite(name string, category vfs.DiskWriteCategory, opts ...vfs.OpenOption) (vfs.File, error) {
	return f.open("open", name, func() (vfs.File, error) { return f.FS.OpenReadWrite(name, category, opts...) })
}

func (f *fence) ReuseForWrite(oldname, newname string, category vfs.DiskWriteCategory) (vfs.File, error) {
	return f.open("reuse", newname, func() (vfs.File, error) { return f.FS.ReuseForWrite(oldname, newname, category) })
}

func (f *fence) OpenDir(name string) (vfs.File, error) {
	return f.open("open directory", name, func() (vfs.File, error) { return f.FS.OpenDir(name) })
}

// syncDir makes durable which files a directory has.
func (f *fence) syncDir(name string) {
	f.change("sync directory", name, func() error {
		dir, err := f.FS.OpenDir(name)
		if err != nil {
			return err
		}
		return errors.Join(dir.Sync(), dir.Close())
	})
}

func (f *fence) Link(oldname, newname string) error {
	f.change("link", newname, func() error { return f.FS.Link(oldname, newname) })
	return nil
}

func (f *fence) Rename(oldname, newname string) error {
	f.change("rename", newname, func() error { return f.FS.Rename(oldname, newname) })
	return nil
}

func (f *fence) MkdirAll(dir string, perm fs.FileMode) error {
	f.change("make directory", dir, func() error { return f.FS.MkdirAll(dir, perm) })
	return nil
}

// Remove and RemoveAll may fail without harm: what is left over is removed at the next start.
func (f *fence) Remove(name string) error {
	if f.fallen.Load() {
		return nil
	}
	return f.FS.Remove(name)
}

func (f *fence) RemoveAll(name string) error {
	if f.fallen.Load() {
		return nil
	}
	return f.FS.RemoveAll(name)
}

// Open opens a file to be read. A fallen fence refuses: what Pebble believes to be there may not be.
func (f *fence) Open(name string, opts ...vfs.OpenOption) (vfs.File, error) {
	if f.fallen.Load() {
		return nil, errFenced
	}
	if isJournal(name) {
		if err := f.onReplay(name); err != nil {
			return nil, err
		}
	}
	return f.FS.Open(name, opts...)
}

// Lock takes no lock: the Store holds it over all instances.
func (f *fence) Lock(string) (io.Closer, error) { return io.NopCloser(nil), nil }

func (f *fence) Unwrap() vfs.FS { return f.FS }

// fencedFile is a file to be written. Reads and the end of it go through.
type fencedFile struct {
	vfs.File
	fence   *fence
	name    string
	journal bool
	table   bool
}

// Write lets others go first when it writes a table. Pebble's two goroutines that make one hand each block over an unbuffered channel, and Go runs whoever
// is woken so at once, in the same time slice: all others in the queue of that processor, the one that writes the journal among them, would
// wait until the slice is over, 10 to 20 ms, while the loops hold the other processors in epoll_wait.
func (w *fencedFile) Write(p []byte) (int, error) {
	if w.table {
		runtime.Gosched()
	}
	if w.fence.fallen.Load() {
		return len(p), nil
	}
	if n, err := w.File.Write(p); err != nil || n < len(p) {
		w.fence.fall(fmt.Errorf("write %s: %w", w.name, cmp.Or(err, io.ErrShortWrite)))
	}
	return len(p), nil
}

func (w *fencedFile) WriteAt(p []byte, off int64) (int, error) {
	if w.fence.fallen.Load() {
		return len(p), nil
	}
	if n, err := w.File.WriteAt(p, off); err != nil || n < len(p) {
		w.fence.fall(fmt.Errorf("write %s: %w", w.name, cmp.Or(err, io.ErrShortWrite)))
	}
	return len(p), nil
}

func (w *fencedFile) Sync() error {
	if w.journal {
		return w.SyncData()
	}
	w.fence.change("sync", w.name, w.File.Sync)
	return nil
}

func (w *fencedFile) SyncData() error {
	if w.journal && w.fence.noFsync {
		return nil
	}
	if !w.journal {
		w.fence.change("sync", w.name, w.File.SyncData)
		return nil
	}
	runtime.Gosched() // whom the sync before has woken waits in this processor's queue, which the system call would hold
	began := time.Now()
	if w.fence.change("sync", w.name, w.File.SyncData) {
		w.fence.onSync(time.Since(began))
	}
	return nil
}

func (w *fencedFile) SyncTo(length int64) (fullSync bool, err error) {
	w.fence.change("sync", w.name, func() error { fullSync, err = w.File.SyncTo(length); return err })
	return fullSync, nil
}

// Preallocate is only a hint; if there is no space, a write says so.
func (w *fencedFile) Preallocate(offset, length int64) error {
	if w.fence.fallen.Load() {
		return nil
	}
	return w.File.Preallocate(offset, length)
}

func (w *fencedFile) Close() error {
	if w.journal && w.fence.noFsync {
		w.fence.change("sync", w.name, w.File.SyncData)
	}
	err := w.File.Close()
	if err != nil && !w.fence.fallen.Load() {
		w.fence.fall(fmt.Errorf("close %s: %w", w.name, err))
	}
	return nil
}

// blackHole is the file that a fallen fence hands out. Everything but reading works.
type blackHole struct{}

func (blackHole) Close() error                           { return nil }
func (blackHole) Read([]byte) (int, error)               { return 0, errFenced }
func (blackHole) ReadAt([]byte, int64) (int, error)      { return 0, errFenced }
func (blackHole) Write(p []byte) (int, error)            { return len(p), nil }
func (blackHole) WriteAt(p []byte, _ int64) (int, error) { return len(p), nil }
func (blackHole) Preallocate(int64, int64) error         { return nil }
func (blackHole) Stat() (vfs.FileInfo, error)            { return noInfo{}, nil }
func (blackHole) Sync() error                            { return nil }
func (blackHole) SyncTo(int64) (bool, error)             { return true, nil }
func (blackHole) SyncData() error                        { return nil }
func (blackHole) Prefetch(int64, int64) error            { return nil }
func (blackHole) Fd() uintptr                            { return vfs.InvalidFd }

// noInfo describes a blackHole.
type noInfo struct{}

func (noInfo) Name() string           { return "" }
func (noInfo) Size() int64            { return 0 }
func (noInfo) Mode() fs.FileMode      { return 0 }
func (noInfo) ModTime() time.Time     { return time.Time{} }
func (noInfo) IsDir() bool            { return false }
func (noInfo) Sys() any               { return nil }
func (noInfo) DeviceID() vfs.DeviceID { return vfs.DeviceID{} }
