package client

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
)

// otherDescriptors is what the process needs besides its connections.
const otherDescriptors = 32

// ErrNoRoom is of a process or a machine that cannot hold the connections of a run.
var ErrNoRoom = errors.New("client: no room for the connections")

// CheckDescriptors tells, before anything is opened, whether the process may have that many connections. The error is an ErrNoRoom.
func CheckDescriptors(conns int) error {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return os.NewSyscallError("getrlimit", err)
	}
	if need := uint64(conns + otherDescriptors); need > limit.Max {
		return fmt.Errorf("%w: %d of them need %d descriptors, this process may have %d: raise it with `ulimit -n %d` (root: `ulimit -Hn`), or spread the load over several processes",
			ErrNoRoom, conns, need, limit.Max, need)
	}
	return nil
}

// CheckPorts tells, before anything is dialled, whether the machine has ports enough for so many connections to the target, with perSource of them on each
// source address (see SourceFor). What other programs hold is not known. The error is an ErrNoRoom.
func (t *Target) CheckPorts(conns, perSource int) error {
	const file = "/proc/sys/net/ipv4/ip_local_port_range" // of IPv6 too
	text, err := os.ReadFile(file)
	if err != nil {
		return nil // it is the kernel that tells then, when they run out
	}
	var first, last int
	if _, err := fmt.Sscan(string(text), &first, &last); err != nil {
		return fmt.Errorf("client: %s is %q: %w", file, strings.TrimSpace(string(text)), err)
	}
	return t.checkPorts(conns, perSource, last-first+1)
}

func (t *Target) checkPorts(conns, perSource, ports int) error {
	need, remedy := conns, "have other machines or network namespaces drive a part of the load"
	if t.SourceFor(0, perSource).IsValid() {
		need, remedy = min(conns, perSource), "put fewer connections on each source address"
	}
	if need <= ports {
		return nil
	}
	return fmt.Errorf("%w: %d of them to %s come from one address, which has %d ports: widen the range with `sysctl -w net.ipv4.ip_local_port_range=\"1024 65535\"`, or %s",
		ErrNoRoom, need, t.addr, ports, remedy)
}
