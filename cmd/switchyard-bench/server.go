package main

import (
	"time"

	"github.com/switchyard-im/switchyard/bench/observe"
)

// serverAddress says which server a scenario drives.
type serverAddress struct {
	URL string `required:"" help:"The server, ws://HOST:PORT/v1/ws."`
	Key string `required:"" type:"path" help:"The key file that the server checks tokens with (serve --dev: DIR/token.key)." placeholder:"FILE"`
}

// serverFlags say where the server's own figures come from.
type serverFlags struct {
	ServerPID int    `name:"server-pid" help:"Process id of the server on this machine, for its CPU and memory." placeholder:"PID"`
	Admin     string `help:"URL of the server's admin address, for its CPU and memory (http://HOST:PORT)." placeholder:"URL"`
}

func (f *serverFlags) server() *serverFlags { return f }

func (f *serverFlags) source() observe.Source { return observe.New(f.ServerPID, f.Admin) }

// adminEvery is how often the admin address is read for the time series. A page of metrics costs a server some 3 ms of one processor, which the clients
// notice; /proc costs it nothing and is read each second.
const adminEvery = 10 * time.Second

// watched is the server as the time series see it.
func (f *serverFlags) watched() watched {
	if f.ServerPID != 0 {
		return watched{source: observe.New(f.ServerPID, "")}
	}
	return watched{source: f.source(), every: adminEvery}
}
