// Package chaos makes trouble beside a scenario: it kills, drains and stops the server, which it therefore starts itself, resets connections of the
// clients, and takes ClickHouse away. It says what that cost: how long the server was away, and when all clients were back.
//
// A Run has up to three goroutines, one for each victim, so that troubles of different victims overlap and those of one do not. They begin when
// the first scenario joins and end when the last leaves; whatever a trouble took away is there again then. A scenario looks in every few milliseconds
// (Member.Look): there connections are cut, it is told when all clients are back, and a failure ends the run.
package chaos
