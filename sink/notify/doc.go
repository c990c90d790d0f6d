// Package notify tells others what happened: webhooks, mail, and whatever a webhook with a template reaches, as SMS and push services.
//
// Whoever causes a notification encodes it (Encode) and puts it into a lane of the store (sink.Notices) in the transaction of what it tells of. A
// Notifier, which cmd starts, takes it from there. Nothing on the way of a message waits for it: a receiver that is slow or dead costs disk
// space in its lane and nothing else.
//
// # What a receiver gets
//
// Each notification at least once, and under the same id each time. Those of one conversation in their order: the next is sent when the one before
// is delivered, or is a dead letter, and that is durable. So after a crash what is sent again is at most what was being sent, one
// notification of each conversation.
//
// # Endpoints
//
// Each endpoint is a bulkhead: a lane in the store, a goroutine that owns its plan, workers and connections of its own. An endpoint that does not answer is
// tried with one notification at a time, in growing pauses, until it does; one that refuses a notification of one conversation gets those of the others
// meanwhile.
//
// # Failure
//
// Whatever fails is tried again, in waits that double up to a bound, until there were Attempts of them. Then it is a dead letter, in a file
// of JSON lines that can be replayed. What can never succeed (410, a recipient that the mail server does not know, data that a template does not
// fit) is one at once, and so is the oldest of a lane that holds more than MaxWaiting. Nothing leaves the store before it is delivered or in that file.
package notify
