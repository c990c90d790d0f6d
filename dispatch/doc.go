// Package dispatch is the message center at work: it runs the pure machines of packages core and desk, carries out their effects,
// and stands between the event loops and the store.
//
//	Gate     on the loops: authenticates connections, forwards frames to the shard that owns their conversation
//	ring     from one loop to one runner: single producer, single consumer, no lock
//	runner   one goroutine with one core.Machine: takes all that waits as one batch, hands the effects to the store
//	unit     one batch under way; when its transaction is durable it becomes parcels for the loops
//	pools    bounded workers for what may block: token checks, reads of the store
//
// It opens no socket and no file: cmd gives it a Store and Conns. docs/design.md has the whole way of a message.
package dispatch
