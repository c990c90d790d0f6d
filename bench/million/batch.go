package million

import (
	"fmt"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// slice is how long such a process may run before another one gets the processor; the most that the kernel grants (Linux 6.12; older ones ignore it).
const slice = 100 * time.Millisecond

// inBatch has the processes that fn starts scheduled as batch work (SCHED_BATCH, sched(7)) with a long slice, which they inherit: one that wakes does not
// take the processor from the one that woke it. A hundred processes on few processors otherwise run for a connection at a time, and
// switching between them costs more than the connections.
func inBatch(fn func() error) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	before, err := unix.SchedGetAttr(0, 0)
	if err != nil {
		return fmt.Errorf("sched_getattr: %w", err)
	}
	batch := *before
	batch.Policy, batch.Runtime = unix.SCHED_BATCH, uint64(slice)
	if err := unix.SchedSetAttr(0, &batch, 0); err != nil {
		return fmt.Errorf("sched_setattr: %w", err)
	}
	err = fn()
	if back := unix.SchedSetAttr(0, before, 0); back != nil && err == nil {
		err = fmt.Errorf("sched_setattr: %w", back)
	}
	return err
}
