package main

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/switchyard-im/switchyard/bench/chat"
	"github.com/switchyard-im/switchyard/bench/fanout"
	"github.com/switchyard-im/switchyard/bench/observe"
	"github.com/switchyard-im/switchyard/bench/resume"
	"github.com/switchyard-im/switchyard/bench/retry"
	"github.com/switchyard-im/switchyard/bench/schedule"
	"github.com/switchyard-im/switchyard/bench/slow"
	"github.com/switchyard-im/switchyard/bench/storm"
	"github.com/switchyard-im/switchyard/bench/token"
)

// The scenarios of switchyard-bench, small, against the server itself: what they judge are the server's promises, and no timing.

// TestReconnectStorm ends a server under clients that get messages, by kill -9 and by SIGTERM. All come back, and nothing is lost.
func TestReconnectStorm(t *testing.T) {
	for name, sig := range map[string]syscall.Signal{"killed": syscall.SIGKILL, "drained": syscall.SIGTERM} {
		t.Run(name, func(t *testing.T) {
			dir, listen := filepath.Join(t.TempDir(), "data"), freeAddress(t)
			var log strings.Builder
			rep, err := storm.Run(t.Context(), storm.Config{
				URL: "ws://" + listen + "/v1/ws", Key: func() (*token.Signer, error) { return token.Load(filepath.Join(dir, devKeyFile)) },
				Clients: 300, Rate: 1000, Before: 300 * time.Millisecond, After: 300 * time.Millisecond, Drain: patience, Within: patience,
				Retry:  retry.Policy{Min: 50 * time.Millisecond, Max: 500 * time.Millisecond, Jitter: 100 * time.Millisecond},
				Signal: sig, ServerLog: &log,
				Command: "env " + asCommand + "=1 " + os.Args[0] + " serve --dev --data " + dir + " --listen " + listen +
					" --admin 127.0.0.1:0 --set reconnect.drain_window=200ms --set server.drain_timeout=2s",
			})
			if err != nil {
				t.Fatalf("%v\n%s", err, log.String())
			}
			t.Logf("back after %.2f to %.2f s, %d messages", rep.FirstSeconds, rep.Seconds, rep.Sent)
			if !rep.OK() || rep.Sent == 0 || rep.Accepted != rep.Sent || rep.UpSeconds == 0 {
				t.Errorf("%+v", rep)
			}
		})
	}
}

// freeAddress is an address on which nobody listens now.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// TestManyResumeAtOnce has a thousand clients miss messages and ask for them all at once.
func TestManyResumeAtOnce(t *testing.T) {
	i := newInstallation(t)
	i.start()
	rep, err := resume.Run(t.Context(), resume.Config{URL: "ws://" + i.listen + "/v1/ws", Key: i.signer(), Clients: 1200, Missed: 8, Within: patience, Threads: 2})
	if err != nil {
		t.Fatal(err)
	}
	if !rep.OK() || rep.Delivered != 1200*8 {
		t.Errorf("%+v", rep)
	}
}

// TestOneMessageToManyConnections delivers each message to all devices of a visitor.
func TestOneMessageToManyConnections(t *testing.T) {
	i := newInstallation(t)
	p, _ := i.start()
	rep, err := fanout.Run(t.Context(), fanout.Config{URL: "ws://" + i.listen + "/v1/ws", Key: i.signer(), Listeners: 500, Rounds: 1, Round: 300 * time.Millisecond,
		Patience: patience, Server: observe.New(p.cmd.Process.Pid, "")})
	if err != nil {
		t.Fatal(err)
	}
	if !rep.OK() || rep.Sent == 0 || rep.Delivered != 500*rep.Sent {
		t.Errorf("%+v", rep)
	}
}

// TestClientsThatStopReading are ended with their code, and those who chat lose nothing.
func TestClientsThatStopReading(t *testing.T) {
	i := newInstallation(t, "--set", "websocket.output_soft=16KiB", "--set", "websocket.output_hard=512KiB")
	p, admin := i.start()
	rep, err := slow.Run(t.Context(), slow.Config{
		Chat: chat.Config{URL: "ws://" + i.listen + "/v1/ws", Key: i.signer(), Pairs: 20, Rate: schedule.MustConstant(200), Duration: 3 * time.Second, Drain: patience,
			Server: observe.New(p.cmd.Process.Pid, "")},
		Stalled: 10, FloodSize: 16 << 10, FloodRate: 50, Flood: 2 * time.Second, Stall: 2500 * time.Millisecond, Ends: patience, Within: patience, Admin: admin,
	})
	if err != nil {
		t.Fatal(err)
	}
	if !rep.OK() || rep.Ends["closed with 4001 slow consumer"] != 10 || rep.Chat.Disturbed == nil || rep.Chat.Disturbed.Rate == 0 || rep.RSSMost == 0 {
		t.Errorf("%+v, %+v", rep, rep.Chat)
	}
	if most := 2*50 + 2; rep.Flood[0] == 0 || rep.Flood[1] == 0 || rep.Flood[0] > most || rep.Flood[1] > most {
		t.Errorf("a flood of 2 s at 50 messages/s was %d messages in the one window and %d in the other", rep.Flood[0], rep.Flood[1])
	}
}

// TestClientsThatGoOnReading is the control of it: nobody is ended.
func TestClientsThatGoOnReading(t *testing.T) {
	i := newInstallation(t)
	_, admin := i.start()
	rep, err := slow.Run(t.Context(), slow.Config{
		Chat:    chat.Config{URL: "ws://" + i.listen + "/v1/ws", Key: i.signer(), Pairs: 20, Rate: schedule.MustConstant(200), Duration: time.Second, Drain: patience},
		Control: true, Stalled: 10, FloodSize: 1 << 10, FloodRate: 50, Flood: time.Second, Stall: time.Second, Within: patience, Admin: admin,
	})
	if err != nil {
		t.Fatal(err)
	}
	if !rep.OK() || rep.Open != 10 || len(rep.Ends) > 0 || rep.Ratio == 0 || rep.Flood[1] == 0 {
		t.Errorf("%+v, %+v", rep, rep.Chat)
	}
}

// signer signs tokens for the installation's servers.
func (i *installation) signer() *token.Signer {
	i.t.Helper()
	key, err := token.Load(filepath.Join(i.dir, devKeyFile))
	if err != nil {
		i.t.Fatal(err)
	}
	return key
}
