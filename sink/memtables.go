package sink

import (
	"fmt"
	"reflect"
	"sync/atomic"
	"unsafe"

	"github.com/cockroachdb/pebble/v2"
)

// memtables knows where Pebble keeps the memory of its memtables, as offsets in bytes. Pebble keeps a flushed memtable for the next one, so two of
// MemTableSize stay resident for ever after a burst, and nothing that it exports changes that. We only read: the memory remains Pebble's, and is
// told to the system as unused where no table has written yet. The version is pinned in go.mod; TestQuietStoreReleasesMemtables
// checks what is relied on, by destroying what is released.
type memtables struct {
	mutable  uintptr // in a DB: the pointer to the memtable that is written
	recycled uintptr // in a DB: the atomic pointer to the one that is kept for later, or nil
	queue    uintptr // in a DB: the list of pointers to all that are written or not flushed yet, which is cut at its front
	data     uintptr // in a memtable: the pointer to its memory
	length   uintptr // in a memtable: the length of that
	arena    uintptr // in a memtable: the pointer to what hands its memory out, from the beginning on
	used     uintptr // in that: how much
}

// findMemtables looks for the fields by their names.
func findMemtables() (m memtables, err error) {
	find := func(t reflect.Type, kind reflect.Kind, path ...string) (offset uintptr, to reflect.Type) {
		for _, name := range path {
			f, ok := t.FieldByName(name)
			if !ok {
				err = fmt.Errorf("sink: this version of Pebble has no field %s in %s; build with the version in go.mod", name, t)
				return 0, reflect.TypeFor[struct{}]()
			}
			offset, t = offset+f.Offset, f.Type
			if t.Kind() == reflect.Pointer {
				to = t.Elem()
			}
		}
		if t.Kind() != kind {
			err = fmt.Errorf("sink: in this version of Pebble %v is a %s, not a %s; build with the version in go.mod", path, t, kind)
		}
		return offset, to
	}
	var table, arena reflect.Type
	m.mutable, table = find(reflect.TypeFor[pebble.DB](), reflect.Pointer, "mu", "mem", "mutable")
	m.recycled, _ = find(reflect.TypeFor[pebble.DB](), reflect.UnsafePointer, "memTableRecycle", "v")
	m.queue, _ = find(reflect.TypeFor[pebble.DB](), reflect.Slice, "mu", "mem", "queue")
	if err != nil {
		return m, err
	}
	m.data, _ = find(table, reflect.UnsafePointer, "arenaBuf", "data")
	m.length, _ = find(table, reflect.Uintptr, "arenaBuf", "n")
	m.arena, arena = find(table, reflect.Pointer, "skl", "arena")
	if err != nil {
		return m, err
	}
	m.used, _ = find(arena, reflect.Uint64, "n", "v")
	return m, err
}

// settled tells whether there is no memtable but the one that is written and the one that is kept for later, so that none is let go of while the
// committer looks at them: it alone writes to memtables and takes new ones. A reader or a flush may still have others.
func (e *engine) settled() bool {
	n := e.db.Metrics().MemTable // takes the lock of what is looked at
	return n.Count == 1 && n.ZombieCount <= 1
}

// moves tells whether the next rotation moves the queue to an array of its own. Until then the array holds what was cut from its front: flushed
// memtables, which Pebble freed, and which stay in memory without cgo. Committer only.
func (e *engine) moves() bool {
	if !e.settled() {
		return false
	}
	queue := *(*[]unsafe.Pointer)(unsafe.Add(unsafe.Pointer(e.db), e.memtables.queue))
	return len(queue) == cap(queue)
}

// releaseMemtables passes what no memtable has written to release, which may give its pages back to the system. Committer only, when settled.
func (e *engine) releaseMemtables(release func([]byte)) {
	db, m := unsafe.Pointer(e.db), e.memtables
	table := *(*unsafe.Pointer)(unsafe.Add(db, m.mutable))
	arena := *(*unsafe.Pointer)(unsafe.Add(table, m.arena))
	memory := m.memory(table)
	used := *(*uint64)(unsafe.Add(arena, m.used))
	release(memory[min(used, uint64(len(memory))):])
	if table = atomic.LoadPointer((*unsafe.Pointer)(unsafe.Add(db, m.recycled))); table != nil {
		release(m.memory(table))
	}
}

// memory is that of a memtable; valid as long as the memtable.
func (m *memtables) memory(table unsafe.Pointer) []byte {
	data := *(*unsafe.Pointer)(unsafe.Add(table, m.data))
	return unsafe.Slice((*byte)(data), *(*uintptr)(unsafe.Add(table, m.length)))
}
