package netserver

import (
	"testing"

	"golang.org/x/sys/unix"
)

// TestKernelTakesLittleForSlowConsumers fills connections whose peers do not read, until something stays in the server.
func TestKernelTakesLittleForSlowConsumers(t *testing.T) {
	taken := func(unsent int) (n uint64) {
		s, o, _ := watched(t, Config{Unsent: unsent, OutSoft: 32 << 20, OutHard: 32 << 20})
		open(t, s)
		id := o.next(t)
		fill(t, s, id, make([]byte, 8<<10), 1)
		l := s.loops[0]
		onLoop(t, l, func() {
			n = l.n.bytesOut
			if v, err := unix.GetsockoptInt(int(l.slots.find(id).fd), unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT); v != unsent || err != nil {
				t.Errorf("an accepted socket has %d, %v", v, err)
			}
		})
		return n
	}
	little, much := taken(32<<10), taken(8<<20)
	t.Logf("the kernel took %d KiB and %d KiB", little>>10, much>>10)
	if little > much/2 {
		t.Errorf("the kernel took %d bytes with a bound of 32 KiB, and %d with one of 8 MiB", little, much)
	}
}
