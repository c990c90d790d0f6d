package client

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The calls below skip the scheduler's bookkeeping, which costs more than the call on a non-blocking socket. They must therefore
// never block: sockets are non-blocking, and poll passes a zero timeout.

// rawRead is recv and rawWrite is send: read and write are the same on a socket, by way of the file layer.
func rawRead(fd int, p []byte) (int, syscall.Errno) {
	n, _, errno := syscall.RawSyscall6(unix.SYS_RECVFROM, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)), 0, 0, 0)
	return int(n), errno
}

func rawWrite(fd int, p []byte) (int, syscall.Errno) {
	n, _, errno := syscall.RawSyscall6(unix.SYS_SENDTO, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)), unix.MSG_NOSIGNAL, 0, 0)
	return int(n), errno
}

// poll takes the events that are there now.
func poll(epfd int, events []unix.EpollEvent) (int, syscall.Errno) {
	n, _, errno := syscall.RawSyscall6(unix.SYS_EPOLL_PWAIT, uintptr(epfd), uintptr(unsafe.Pointer(unsafe.SliceData(events))),
		uintptr(len(events)), 0, 0, 0)
	return int(n), errno
}

// wait blocks up to timeout nanoseconds for events, through the scheduler, so that the collector and other goroutines proceed.
// epoll_pwait2 (Linux 5.11) counts in nanoseconds; milliseconds would be coarser than the latencies to be measured.
func wait(epfd int, events []unix.EpollEvent, timeout int64) (int, syscall.Errno) {
	ts := unix.NsecToTimespec(timeout)
	n, _, errno := syscall.Syscall6(unix.SYS_EPOLL_PWAIT2, uintptr(epfd), uintptr(unsafe.Pointer(unsafe.SliceData(events))),
		uintptr(len(events)), uintptr(unsafe.Pointer(&ts)), 0, 0)
	return int(n), errno
}
