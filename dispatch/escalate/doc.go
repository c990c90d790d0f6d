// Package escalate decides when a message that nobody acked goes to a notification channel: a pure state machine (events and time in, effects
// out; no clock, no I/O, no goroutine). One goroutine of package dispatch owns it.
//
// It decides from what is unacked and for how long, and from nothing else. It is not told who is connected: a connection that is gone may
// be back in a second, one that is there may belong to a telephone in a pocket, and a missed disconnect would be a missed notification.
//
// # What the caller does
//
// Sent comes for each recipient of a message that needs an ack, once the message is durable, and Acked whenever the recipient's delivered mark rose,
// by whichever device. Tick comes at least once a second. After each event, or each batch of them, Take returns the effects. The caller writes their
// records and hands their notifications to the outbox in one transaction, so that a crash leaves both or none; if it is refused, it repeats the same
// effects, and neither ticks nor calls Take until they are durable. Each effect may be carried out twice: a notification has the key (conversation, user, step, last
// sequence) and an id made of it (NotificationID), a record is the whole state.
//
// A record is written only when something became due or was closed. What is acked in time, so nearly everything, costs no write. At start the
// caller puts everything back in three steps: Restore with each record; Sent, with the time at which it was stored, for each message that is unacked
// in a conversation that is open; Acked with each mark. Each of them may repeat what is known already. Marks
// of the last seconds before a crash may be lost: who comes back within the grace repeats them. A conversation that was closed is known
// by its record alone, so it has to be found as open at the next start until the record that Closed made is durable.
package escalate
