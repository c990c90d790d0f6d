package netserver

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Raw system calls on descriptors that never block. The scheduler's entry and exit around an ordinary call cost 4-5 us of an echo,
// and exist for calls that may block. The slices need only live for the call: the pointer is converted in the argument list.

// sysRead reads once; n is 0 at the end of the stream. p must not be empty.
func sysRead(fd int32, p []byte) (n int, errno syscall.Errno) {
	for {
		r, _, e := syscall.RawSyscall(syscall.SYS_READ, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)))
		if e != syscall.EINTR {
			return count(r, e), e
		}
	}
}

// sysWrite writes once; n may be short. p must not be empty.
func sysWrite(fd int32, p []byte) (n int, errno syscall.Errno) {
	for {
		r, _, e := syscall.RawSyscall(syscall.SYS_WRITE, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)))
		if e != syscall.EINTR {
			return count(r, e), e
		}
	}
}

// sysWritev writes once from several pieces, none of them empty; vecs holds at least as many entries and is cleared afterwards, so that
// it keeps nothing alive.
func sysWritev(fd int32, pieces [][]byte, vecs []syscall.Iovec) (n int, errno syscall.Errno) {
	for i, p := range pieces {
		vecs[i].Base = unsafe.SliceData(p)
		vecs[i].SetLen(len(p))
	}
	defer clear(vecs[:len(pieces)])
	for {
		r, _, e := syscall.RawSyscall(syscall.SYS_WRITEV, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(vecs))), uintptr(len(pieces)))
		if e != syscall.EINTR {
			return count(r, e), e
		}
	}
}

// sysAccept takes one connection from a listening socket, nonblocking and close-on-exec; addr is filled with its raw peer address.
func sysAccept(fd int32, addr *unix.RawSockaddrAny) (conn int32, errno syscall.Errno) {
	for {
		size := uint32(unix.SizeofSockaddrAny)
		r, _, e := syscall.RawSyscall6(syscall.SYS_ACCEPT4, uintptr(fd), uintptr(unsafe.Pointer(addr)), uintptr(unsafe.Pointer(&size)),
			syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC, 0, 0)
		if e != syscall.EINTR {
			return int32(r), e
		}
	}
}

// sysClose closes a descriptor. On Linux it is gone even if the call was interrupted.
func sysClose(fd int32) { syscall.RawSyscall(syscall.SYS_CLOSE, uintptr(fd), 0, 0) }

// sysShutdownWrite sends the end of the stream after what was written. A peer that is gone already is no error here.
func sysShutdownWrite(fd int32) {
	syscall.RawSyscall(syscall.SYS_SHUTDOWN, uintptr(fd), syscall.SHUT_WR, 0)
}

func count(r uintptr, e syscall.Errno) int {
	if e != 0 {
		return 0
	}
	return int(r)
}

// rawBytes views a socket address as the kernel wrote it; the view lives as long as the address.
func rawBytes(a *unix.RawSockaddrAny) *[unix.SizeofSockaddrAny]byte {
	return (*[unix.SizeofSockaddrAny]byte)(unsafe.Pointer(a))
}
