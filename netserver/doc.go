// Package netserver owns the sockets of a Switchyard server: it accepts, upgrades to WebSocket, reads, checks and unmasks, keeps
// heartbeats and deadlines, merges what goes out and writes it. What the messages mean is the Handler's business.
//
// One loop is one netpoll poller and its goroutine. It owns its connections outright: every read, write, timer, close and every call
// of the Handler for a connection happens on its loop, so a connection has no locks and a handler must never block. Other goroutines
// reach a loop through its mailbox only: Server.Deliver hands over frames for connections, Server.Post runs a function on a
// connection's loop.
//
// A turn is one run of a poller callback: one read of one connection, one drain of the mailbox, or one tick of the timer. What
// is written during a turn is staged and leaves at its end, merged into as few WebSocket messages and as few system calls as possible.
//
// An idle connection holds no buffer. Input is parsed in the loop's read buffer, and only an incomplete rest is kept, in a pooled
// buffer that grows with what arrived and never with what was declared. Output that the kernel does not take is kept in a pooled
// buffer of bounded size.
//
// The life of a connection, and who makes each change (always on the loop):
//
//	free -> handshake    accepted; a PROXY header comes first if the peer is one of Config.ProxyNetworks
//	handshake -> open    upgrade answered with 101; Handler.Open
//	handshake -> flush   upgrade refused with a plain HTTP answer
//	open -> flush        close frame staged, by either side; Handler.Closed at the end of that turn
//	flush -> linger      everything written, write side shut down; input is read and thrown away until the peer closes, so that
//	                     the kernel does not answer unread input with a reset that would eat what was written
//	any -> closed        descriptor closed: end of stream, error or deadline; Handler.Closed if it was open
//	closed -> free       operator given back and generation raised, in another handler's run (the reap list)
//
// The package leaves TLS to the proxy in front, and authentication to the Handler.
package netserver
