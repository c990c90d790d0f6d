// Package history keeps the history in ClickHouse: it ships what the store's outbox holds, exactly once as a reader sees it, through
// outages of any length.
//
// cmd opens a Client and starts a Shipper, which runs beside the server and never on the way of a message: a ClickHouse that is slow
// or away costs disk space in the outbox and nothing else.
//
// # Exactly once
//
// The shipper takes a range of the outbox, makes it durable that this range is one batch (Freeze), inserts its rows and then lets
// the outbox delete it (Shipped). After a crash the frozen range is read again, and inserted again unless ClickHouse has all of its rows. A second copy does no
// harm, because rows of one message replace each other: reads use FINAL. The token of an insert is no proof that its rows are there; see insert.go.
//
// The token holds a hash of the rows, because ClickHouse silently drops other rows under a token that it knows.
//
// # Failure
//
// An insert ends well or with one of three classes of errors (errors.go). Transient ones and those that an operator must look at
// are retried for ever, the latter with an alarm. A row that ClickHouse does not want is found by halving the batch and goes to
// a file of dead letters, which can be replayed; the rest of the batch is inserted.
package history
