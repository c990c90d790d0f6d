// Package oracle decides whether a server kept its promises about messages: each accepted one delivered exactly once, unchanged, to its
// receiver and nobody else, in the order of the sequence, and each send acknowledged exactly once.
//
// It is pure: a scenario tells it what it sent and what came back, for both ends of a conversation, and it counts the violations and keeps
// the first ones with their details. A Pair and its Ledger belong to one goroutine. In the steady state nothing allocates.
package oracle
