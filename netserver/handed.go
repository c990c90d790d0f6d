package netserver

import (
	"errors"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"
)

// ErrNoListener is the answer of Server.Listener when it does not listen any more.
var ErrNoListener = errors.New("netserver: there is no listening socket any more")

// takeListener makes a listening socket that another process opened ours: the flags and options are as if bind had opened it, the address, the
// sharing of the port and the backlog are the other's.
func takeListener(fd int) (int32, netip.AddrPort, error) {
	if err := checkListener(fd); err != nil {
		return -1, netip.AddrPort{}, fmt.Errorf("netserver: descriptor %d was handed over as the listening socket: %w; hand over a TCP socket that listens (systemd: ListenStream=IP:PORT)", fd, err)
	}
	unix.CloseOnExec(fd)
	if err := unix.SetNonblock(fd, true); err != nil {
		return -1, netip.AddrPort{}, fmt.Errorf("netserver: descriptor %d: %w", fd, err)
	}
	setOptions(fd)
	return int32(fd), localAddr(int32(fd)), nil
}

func checkListener(fd int) error {
	domain, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_DOMAIN)
	if err != nil {
		return err
	}
	listens, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ACCEPTCONN)
	if err == nil && listens == 0 {
		err = errors.New("it does not listen")
	}
	if domain != unix.AF_INET && domain != unix.AF_INET6 {
		err = errors.New("it is not a TCP socket")
	}
	return err
}

// Listener returns a duplicate of the listening socket, closed on exec, for whoever takes over. While it is open, the kernel goes on to take
// connections into the backlog although this server has stopped to accept. The caller closes it. Call it while Serve runs.
func (s *Server) Listener() (fd int, err error) {
	fd, err = -1, ErrNoListener
	s.onFirst(func(l *loop) {
		if l.listener != nil {
			fd, err = unix.FcntlInt(uintptr(l.listener.fd), unix.F_DUPFD_CLOEXEC, 0)
		}
	})
	return fd, err
}
