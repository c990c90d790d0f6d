package main

import (
	"os"
	"testing"

	"go.uber.org/goleak"
)

// asCommand makes the test binary be the command itself, so that tests can start real servers and kill them.
const asCommand = "SWITCHYARD_TEST_AS_COMMAND"

func TestMain(m *testing.M) {
	if os.Getenv(asCommand) != "" {
		os.Unsetenv(asCommand)
		main()
	}
	goleak.VerifyTestMain(m)
}
