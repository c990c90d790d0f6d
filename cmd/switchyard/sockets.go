package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/switchyard-im/switchyard/cmd/switchyard/config"
)

// sockets are listening sockets that the process was started with or hands to its successor; 0 is none. While one process after another has
// them, nobody who connects is refused: the kernel takes connections into the backlog as long as the socket is open anywhere.
type sockets struct{ clients, admin, api int }

// The variables in which they come: systemd's (sd_listen_fds(3)), and our own for a process that replaces itself, since it cannot put its
// descriptors at 3 and after while it still runs. Each names the process that it is meant for.
const (
	envListenPID   = "LISTEN_PID"
	envListenFDs   = "LISTEN_FDS"
	envListenNames = "LISTEN_FDNAMES"
	envHandedOver  = config.EnvPrefix + "HANDED_OVER" // PID:CLIENTS:ADMIN:API
)

// The FileDescriptorName= of the sockets other than that for clients.
const (
	adminName = "admin"
	apiName   = "api"
)

// takeSockets finds the sockets in the environment, and returns the rest of it. What is meant for another process is not used.
func takeSockets(env []string) (s sockets, rest []string, err error) {
	switch pid := strconv.Itoa(os.Getpid()); {
	case strings.HasPrefix(lookup(env, envHandedOver), pid+":"):
		_, err = fmt.Sscanf(lookup(env, envHandedOver), pid+":%d:%d:%d", &s.clients, &s.admin, &s.api)
	case lookup(env, envListenPID) == pid:
		s, err = fromSystemd(lookup(env, envListenFDs), lookup(env, envListenNames))
	}
	for _, entry := range env {
		switch name, _, _ := strings.Cut(entry, "="); name {
		case envListenPID, envListenFDs, envListenNames, envHandedOver:
		default:
			rest = append(rest, entry)
		}
	}
	return s, rest, err
}

// fromSystemd reads how many descriptors there are, the first being 3, and their names, separated by colons.
func fromSystemd(count, names string) (s sockets, err error) {
	n, err := strconv.Atoi(count)
	if err != nil {
		return s, fmt.Errorf("%s is %q, which is not a number", envListenFDs, count)
	}
	named := strings.Split(names, ":")
	for i := range n {
		to, name := &s.clients, "clients"
		switch {
		case i < len(named) && named[i] == adminName:
			to, name = &s.admin, adminName
		case i < len(named) && named[i] == apiName:
			to, name = &s.api, apiName
		}
		if *to != 0 {
			return s, fmt.Errorf("systemd hands over two sockets for %s; give the switchyard.socket unit one ListenStream=, and units of their own, with FileDescriptorName=%s and %s, if the other addresses shall be handed over too", name, adminName, apiName)
		}
		*to = 3 + i
	}
	return s, nil
}

// entry is the variable that hands the sockets to what this process becomes.
func (s sockets) entry() string {
	return fmt.Sprintf("%s=%d:%d:%d:%d", envHandedOver, os.Getpid(), s.clients, s.admin, s.api)
}
