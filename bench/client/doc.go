// Package client drives many WebSocket connections from a few threads: the sockets under every load scenario of bench.
//
// A Loop is one goroutine with one epoll descriptor. It owns its connections outright: dialling, reading, writing, timers and
// closing happen on it, and so does every call of a Handler, so a scenario needs no locks. Other goroutines reach a loop by Post.
// A Fleet is a few loops that start and stop together.
//
// In the steady state a message costs no allocation and no lock, one read takes all that has arrived on a connection, and one write
// takes all that its handler wants to send. System calls on sockets bypass the scheduler: the descriptors never block.
//
// It is a client for measuring, not a library for users (that is sdk): no TLS, no extensions, and the text of text messages is
// handed over unchecked.
package client
