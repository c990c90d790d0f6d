package netserver

import "golang.org/x/sys/unix"

// boundUnsent has the kernel take no more for a connection while it has so many bytes that it has not even sent (TCP_NOTSENT_LOWAT, tcp(7)).
// What is accepted on the listening socket inherits it. The kernel's own bound is net.ipv4.tcp_wmem, 4 MB: a thousand slow consumers would hold
// 4 GB of its memory, all would seem well from here, and what could be dropped or merged for them would be out of reach. What is on its
// way is not counted, so that a fast peer far away is not slowed down.
func boundUnsent(listener int32, n int) error {
	return unix.SetsockoptInt(int(listener), unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, n)
}
