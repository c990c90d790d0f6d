package main

import (
	"fmt"
	"log/slog"

	"golang.org/x/sys/unix"

	"github.com/switchyard-im/switchyard/cmd/switchyard/config"
)

// reservedFiles is how many descriptors the server needs besides its connections: store files, loops, admin, logs.
const reservedFiles = 1_000

// preflight raises what it may and warns of what would hurt later, each with its remedy.
func preflight(cfg *config.Config, dev bool, log *slog.Logger) {
	files, err := raiseFileLimit()
	if err != nil {
		log.Warn("cannot raise the limit of open files", "error", err)
	}
	warnFileLimit(files, cfg.Server.MaxConnections, log)
	for _, w := range warnings(cfg, dev) {
		log.Warn(w.text, "remedy", w.remedy)
	}
}

// raiseFileLimit sets the soft limit of open files to the hard one and returns it.
func raiseFileLimit() (uint64, error) {
	var l unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &l); err != nil {
		return 0, err
	}
	if l.Cur >= l.Max {
		return l.Cur, nil
	}
	raised := unix.Rlimit{Cur: l.Max, Max: l.Max}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &raised); err != nil {
		return l.Cur, err
	}
	return raised.Cur, nil
}

func warnFileLimit(files uint64, connections int, log *slog.Logger) {
	if need := uint64(connections) + reservedFiles; files < need {
		log.Warn("the limit of open files is below server.max_connections; further connections will be refused",
			"limit", files, "connections_possible", max(int64(files)-reservedFiles, 0),
			"remedy", fmt.Sprintf("LimitNOFILE=%d in the systemd unit or ulimit -n %d, or a lower server.max_connections", need, need))
	}
}

// warning is something that is allowed and dangerous.
type warning struct{ text, remedy string }

// warnings names the dangerous options that are on.
func warnings(cfg *config.Config, dev bool) []warning {
	var ws []warning
	if dev {
		ws = append(ws, warning{"development mode: tokens are printed", "configure auth.keys and leave out --dev in production"})
	}
	if !cfg.Admin.Listen.IsLoopback() {
		ws = append(ws, warning{"the admin listener can be reached from other machines, and it has no access control", "set admin.listen to a loopback or private address, or close its port in the firewall"})
	}
	if cfg.Store.Durability != "sync" {
		ws = append(ws, warning{"accepted messages may be lost with the power", "set store.durability to sync"})
	}
	for _, o := range cfg.Server.AllowedOrigins {
		if o == "*" {
			ws = append(ws, warning{"pages of every origin may connect", "list your own in server.allowed_origins"})
		}
	}
	for _, n := range proxyNetworks(cfg.Server.ProxyNetworks) {
		if n.Bits() == 0 {
			ws = append(ws, warning{"every client may claim any address with a PROXY header", "list the addresses of your proxies in server.proxy_networks"})
		}
	}
	return ws
}
