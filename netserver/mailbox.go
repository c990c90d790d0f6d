package netserver

import (
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/switchyard-im/switchyard/frame"
)

// maxTasks bounds the rare control work that waits for one loop.
const maxTasks = 1 << 16

// task is control work for a loop: a function, or a descriptor that was accepted.
type task struct {
	run  func()
	peer accepted // if run is nil
}

// posted is a function for one connection. It travels as a parcel without targets, so that it keeps its place among the parcels of the
// goroutine that posted it.
type posted struct {
	parcel frame.Parcel
	id     frame.ConnID
	f      func(*Conn)
}

// Release has nothing to take back.
func (*posted) Release(*frame.Parcel) {}

func newPosted(id frame.ConnID, f func(*Conn)) *frame.Parcel {
	p := &posted{id: id, f: f}
	p.parcel.Owner = p
	return &p.parcel
}

// mailbox carries work from other goroutines to one loop. Parcels go through a lock-free stack that the loop takes as a whole and
// reverses, so that what one goroutine put comes out in its order; everything rare goes through a locked queue. The eventfd is written
// only if no wake-up is outstanding.
//
// Both are bounded, and a producer waits at the bound. A loop never waits for anyone, so it always comes to empty its mailbox
// and the wait ends; for the same reason a loop itself must never put anything that may wait (see postOwn).
type mailbox struct {
	event int32 // eventfd, nonblocking; open until close
	limit int64

	head   atomic.Pointer[frame.Parcel] // newest first
	bytes  atomic.Int64                 // of parcels put and not yet released
	awake  atomic.Bool                  // a wake-up is outstanding
	users  atomic.Int32                 // goroutines inside put and post; close waits for them before the eventfd goes
	closed atomic.Bool

	waiting atomic.Bool // somebody waits on room
	mu      sync.Mutex
	room    sync.Cond // on mu; broadcast when there is room again, or never will be
	tasks   []task    // guarded by mu
	some    atomic.Bool
}

func (m *mailbox) open(limit int) error {
	fd, err := unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC)
	if err != nil {
		return err
	}
	m.event, m.limit, m.room.L = int32(fd), int64(limit), &m.mu
	return nil
}

// cost is what a parcel counts for against the bound. Its bytes may be shared with other parcels, so this is an upper estimate.
func cost(p *frame.Parcel) int64 { return int64(len(p.Buf) + 16*len(p.Targets) + 64) }

// put hands a parcel over. Any goroutine but a loop's; waits while the mailbox is over its bound. After close it releases at once.
func (m *mailbox) put(p *frame.Parcel) {
	m.users.Add(1)
	defer m.users.Add(-1)
	if m.bytes.Load() > m.limit {
		m.waitForRoom()
	}
	if m.closed.Load() {
		p.Owner.Release(p)
		return
	}
	m.bytes.Add(cost(p))
	for {
		head := m.head.Load()
		p.Next = head
		if m.head.CompareAndSwap(head, p) {
			break
		}
	}
	m.wake()
}

func (m *mailbox) waitForRoom() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for {
		m.waiting.Store(true)
		if m.bytes.Load() <= m.limit && len(m.tasks) < maxTasks || m.closed.Load() {
			return
		}
		m.room.Wait()
	}
}

// post queues control work. Any goroutine but a loop's; waits while maxTasks are queued. False: closed, it will not run.
func (m *mailbox) post(t task) bool {
	m.users.Add(1)
	defer m.users.Add(-1)
	m.mu.Lock()
	for len(m.tasks) >= maxTasks && !m.closed.Load() {
		m.waiting.Store(true)
		m.room.Wait()
	}
	ok := m.queueLocked(t)
	m.mu.Unlock()
	m.wake()
	return ok
}

// postOwn queues control work from a loop, which must not wait: over the bound, or when closed, it is refused.
func (m *mailbox) postOwn(t task) bool {
	m.users.Add(1)
	defer m.users.Add(-1)
	m.mu.Lock()
	ok := len(m.tasks) < maxTasks && m.queueLocked(t)
	m.mu.Unlock()
	m.wake()
	return ok
}

func (m *mailbox) queueLocked(t task) bool {
	if m.closed.Load() {
		return false
	}
	m.tasks = append(m.tasks, t)
	m.some.Store(true)
	return true
}

func (m *mailbox) wake() {
	if m.awake.Swap(true) || m.closed.Load() {
		return
	}
	one := [8]byte{1}
	sysWrite(m.event, one[:])
}

// rest makes the next put wake the loop again. On the loop, before it takes: what is put afterwards brings another wake-up.
func (m *mailbox) rest() {
	var count [8]byte
	sysRead(m.event, count[:])
	m.awake.Store(false)
}

// takeParcels takes all parcels, oldest first. On the loop.
func (m *mailbox) takeParcels() *frame.Parcel {
	var first *frame.Parcel
	for p := m.head.Swap(nil); p != nil; {
		next := p.Next
		p.Next = first
		first, p = p, next
	}
	return first
}

// takeTasks swaps the queue for an empty one. On the loop; into is the slice of last time, for reuse.
func (m *mailbox) takeTasks(into []task) []task {
	if !m.some.Load() {
		return nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	taken := m.tasks
	m.tasks = into[:0]
	m.some.Store(false)
	return taken
}

// released gives n bytes of the bound back and lets those who wait go on. On the loop; it locks only if somebody waits.
func (m *mailbox) released(n int64) {
	m.bytes.Add(-n)
	if m.waiting.Load() {
		m.mu.Lock()
		m.waiting.Store(false)
		m.room.Broadcast()
		m.mu.Unlock()
	}
}

// close refuses everything from now on, waits until nobody is inside, releases what is left and closes the eventfd. The loop has
// ended by then.
func (m *mailbox) close(yield func()) {
	m.mu.Lock()
	m.closed.Store(true)
	m.room.Broadcast()
	m.mu.Unlock()
	for m.users.Load() > 0 {
		yield()
	}
	for p := m.takeParcels(); p != nil; {
		next := p.Next
		p.Owner.Release(p)
		p = next
	}
	for _, t := range m.takeTasks(nil) {
		if t.run == nil {
			sysClose(t.peer.fd)
		}
	}
	if m.event >= 0 {
		sysClose(m.event)
	}
}
