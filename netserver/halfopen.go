package netserver

import (
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// boundUnacknowledged has the kernel give up a peer that acknowledges nothing for so long while something is on its way to it, or keeps its
// window shut for so long (TCP_USER_TIMEOUT, tcp(7)). What is accepted on the listening socket inherits it. The kernel's own rule is about 15
// minutes, in which a peer that lost its network holds what was sent to it, and after its connection was closed the kernel's part of it.
// Pings find such a peer too, but only after silence, and while Config.CloseAfter runs everything delivered to it is lost time.
// Keepalive probes would find nothing more: an idle connection is pinged, and the ping must be acknowledged.
// Negative is the kernel's own rule, which is set too, because a socket that was handed over has what its last owner set.
func boundUnacknowledged(listener int32, after time.Duration) error {
	return unix.SetsockoptInt(int(listener), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(max(0, after.Milliseconds())))
}

// lost is the reason for an error of a read or write: the peer vanished, or what it is otherwise.
func lost(errno syscall.Errno, otherwise Reason) Reason {
	if errno == syscall.ETIMEDOUT {
		return ReasonVanished
	}
	return otherwise
}
