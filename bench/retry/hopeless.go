package retry

import (
	"errors"
	"net/http"
	"syscall"

	"github.com/switchyard-im/switchyard/bench/client"
	"github.com/switchyard-im/switchyard/frame"
)

// Hopeless tells whether dialling again cannot help after a connection ended so, with a remedy to show.
func Hopeless(err error) (remedy string, fatal bool) {
	var closed *client.CloseError
	var refused *client.UpgradeError
	switch {
	case errors.As(err, &closed):
		return " (" + frame.CloseName(closed.Code) + ")", closed.Code >= 3000 && !frame.CloseReconnects(closed.Code)
	case errors.As(err, &refused):
		return " (is the path /v1/ws?)", refused.Status < 500 && refused.Status != http.StatusTooManyRequests
	case errors.Is(err, client.ErrProtocol):
		return "", true
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return ": no free port; wait a minute, widen net.ipv4.ip_local_port_range, or put fewer connections on a source address", true
	case errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE):
		return ": no free descriptor; raise ulimit -n or fs.file-max, or use fewer connections", true
	}
	return "", false
}

// Unreachable tells whether nobody listens at the address: a mistake of the caller before a run, and what the run is about later.
func Unreachable(err error) bool {
	return errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.EHOSTUNREACH) || errors.Is(err, syscall.ENETUNREACH)
}
