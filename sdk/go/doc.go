// Package switchyard is the Go client of a Switchyard server: it connects, opens and joins conversations, sends messages that
// are accepted once they are durable, receives what others write, and comes back by itself after a lost connection without
// losing or doubling a message.
//
// # What it promises
//
//   - [Conversation.Send] returns when the server has made the message durable, with its sequence. Each message carries an id, so
//     a message that was accepted once is never stored twice, however often the connection broke in between.
//   - [Conversation.Receive] gives every message of others in the order of the conversation, each once. Where the server cannot
//     tell what was missed, Receive returns a [GapError] with both ends of the gap, and goes on with the call after it.
//   - A lost connection is made again at once, then after a doubling wait with jitter. The server's hints go first: its reconnect
//     policy, a drain's delay and target, a retry time, and its close codes. What cannot heal ends the client with an error
//     ([Client.Done], [Client.Err]).
//
// # Memory
//
// Each queue is bounded. The outbox of a client holds [Options.MaxPending] messages; then Send waits. The inbox of a conversation
// holds [Options.InboxSize] messages; if the application does not read it, the server is told to stop, and the conversation resumes after
// the last message in the inbox once half of it was read. Notices of conversations are merged by conversation.
//
// # Goroutines
//
// A client has one goroutine that connects and reads, one that writes while connected, and for a moment one that asks for a
// new token. All methods may be called from any goroutine. [Handlers] are called from the reading goroutine and must not block.
package switchyard
