// Package frame is Switchyard's wire protocol: it turns the bytes of a WebSocket message into frames and back. The protocol
// itself is in PROTOCOL.md; the structs here are its frames, one to one.
//
// Everybody calls it: event loops and shards of the server, stores, clients. It has no goroutines, no clock, no sockets and no
// state, so any goroutine may call anything; a value of a frame type is not safe for use by two goroutines at once.
//
// Reading is two steps. [Next] takes one frame off a batch and checks it completely: structure, nesting, declared lengths, text.
// The Parse method of the frame's type then reads the fields; it trusts what Next checked and verifies kinds and limits.
// Neither allocates, and what Parse leaves in a struct borrows from the batch. Writing is Append, into the caller's buffer.
//
// What a frame means, who may send it and what answers it is decided elsewhere (package dispatch).
package frame

//go:generate go run ./internal/gencodes
