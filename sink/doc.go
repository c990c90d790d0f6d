// Package sink makes things durable: it is the journal and the hot history of the server, in one Pebble store on the local disk.
//
// The shards of dispatch call it. A shard begins a transaction, fills it and commits it; it never waits for the disk, only for a
// free transaction when too many are in flight. Completions are called on one goroutine, in the order of the commits, and only
// after what they stand for is on the disk. Reads block on the disk, so they belong in a pool.
//
// What a message is, who gets it and in which order is decided elsewhere; sink sees bytes and sequences.
//
// # Keys
//
//	'e' conv(16) user           what is known of the messages that the user has not acked (opaque here)
//	'm' conv(16) last(8)        the messages first..last of a conversation, from one transaction: uvarint(last-first), then
//	                            their Message frames in a row
//	's' conv(16)                the state record of a conversation
//	'o' conv(16)                empty; there is one for each conversation that is not closed
//	'u' len(2) user conv(16)    empty; the user takes part in this open conversation
//	'k' key                     a memo: a small record of the caller's
//	'w' len(1) lane number(8)   a notice: what somebody outside is told (see Notices)
//	'x' number(8)               what one commit put into the outbox: a head (see entry), then its Message frames in a row
//	'y' number(8)               which records that commit wrote, and when, for the retention (see agingEntry)
//	'z' name                    single records of the store: see keys.go
//
// Numbers in keys are big endian. One record per conversation and transaction, because keys, not bytes, are what costs CPU in the
// engine. A seek to (conversation, after+1) finds the record that contains it.
//
// # Outbox
//
// With Config.Outbox each commit that has messages keeps them a second time, under one number, for whoever ships them to where the history is.
// The transactions hold them once; the committer copies them from the batch that it has made of the transactions, so message and
// entry are on the disk together or not at all. Nothing on the message path waits for the one who ships.
//
// # Notices
//
// A transaction may also hold notices (Tx.Notify): what somebody outside has to be told, in one lane for each who is told. They are durable with the
// rest of it, and the committer numbers them in the order of the commits.
//
// # Goroutines
//
//	the committer     takes all transactions that wait, makes one batch of them and applies it, while the last one still syncs
//	the completer     waits for the sync, then tells the transactions how they ended
//	the supervisor    starts the two above, winds them down after a failure, refuses what comes in the meantime, opens the store again
//	the upkeep        puts messages into the outbox that were stored without one; deletes old messages, if there is a retention
//	the space watch   looks at the free space, so that sends are refused before the disk is really full
//
// # Failure
//
// Pebble cannot survive a failed write: it ends the process. So all its files go through a fence (see fence). With the first failed
// write, sync, create or rename the fence falls: from then on nothing reaches the disk any more, no transaction is acknowledged,
// Pebble is told that all is well so that it can be closed in an orderly way, and the generation is raised. Then the store is
// opened again from what the disk holds. That contains all that was acknowledged; it may contain records that were written but
// not acknowledged, whole transactions always.
package sink
