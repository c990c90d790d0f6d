package preflight

import (
	"context"
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/switchyard-im/switchyard/bench/benchtest/chatserver"
	"github.com/switchyard-im/switchyard/bench/client"
	"github.com/switchyard-im/switchyard/bench/token"
	"github.com/switchyard-im/switchyard/frame"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func key(t *testing.T) *token.Signer {
	t.Helper()
	k, err := token.Parse([]byte(strings.Repeat("5a", 32)))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestAServerThatIsThere(t *testing.T) {
	s, err := chatserver.Start(chatserver.Faults{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for _, cfg := range []Config{
		{URL: s.URL(), Protocol: "switchyard.v1.msgpack"},
		{URL: s.URL(), Protocol: "switchyard.v1.msgpack", Key: key(t), Conns: 10, History: s.API()},
	} {
		if err := Check(context.Background(), cfg); err != nil {
			t.Error(err)
		}
	}
}

func TestAServerThatSaysNothing(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0") // the kernel takes the connection, and nobody looks at it
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	cfg := Config{URL: "ws://" + l.Addr().String() + "/", Within: 20 * time.Millisecond}
	if err := Check(context.Background(), cfg); err == nil || !strings.Contains(err.Error(), "within 20ms: is --url the server's address") {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	cfg.Within = time.Hour
	if err := Check(ctx, cfg); !errors.Is(err, context.Canceled) || strings.Contains(err.Error(), "--url") {
		t.Error(err)
	}
}

// TestEveryCodeHasARemedy: whatever ends the connection, the last words say what to do.
func TestEveryCodeHasARemedy(t *testing.T) {
	for code := uint64(1); code <= frame.ErrorTaken; code++ {
		if text := remedy(&refused{code, "x"}); len(text) < 20 {
			t.Errorf("%s: %q", frame.ErrorName(code), text)
		}
	}
	for _, code := range []int{1006, frame.CloseOverloaded, frame.CloseDrain, frame.CloseVersion} {
		if text := remedy(&client.CloseError{Code: code}); len(text) < 20 {
			t.Errorf("%d: %q", code, text)
		}
	}
}
