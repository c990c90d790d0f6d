// Package benchtest is what the tests of the scenarios begin with.
package benchtest

import (
	"strings"
	"testing"

	"github.com/switchyard-im/switchyard/bench/benchtest/chatserver"
	"github.com/switchyard-im/switchyard/bench/token"
)

// Chat starts a chat server with faults, which ends with the test.
func Chat(t testing.TB, faults chatserver.Faults) *chatserver.Server {
	t.Helper()
	s, err := chatserver.Start(faults)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// Key signs tokens, which the chat server takes from any key.
func Key(t testing.TB) *token.Signer {
	t.Helper()
	key, err := token.Parse([]byte(strings.Repeat("5a", 32)))
	if err != nil {
		t.Fatal(err)
	}
	return key
}
