package main

import (
	"os"
	"testing"

	"go.uber.org/goleak"
)

// asCommand makes the test binary be the command itself, so that tests can start real servers and kill them.
// It stays in the environment, because a server that is upgraded becomes the test binary again.
const asCommand = "TEST_AS_SWITCHYARD"

func TestMain(m *testing.M) {
	if os.Getenv(asCommand) != "" {
		main()
	}
	goleak.VerifyTestMain(m)
}
