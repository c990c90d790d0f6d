package chat

import "github.com/switchyard-im/switchyard/bench/retry"

// hopeless tells whether dialling again cannot help, with a remedy to show. Before the load runs a server that is not there is a mistake of
// the caller; later it is what the run is about.
func hopeless(err error, starting bool) (remedy string, fatal bool) {
	if retry.Unreachable(err) {
		return ": is the server running, and is --url its address?", starting
	}
	return retry.Hopeless(err)
}
