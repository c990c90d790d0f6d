package main

import (
	"context"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"
)

// The signals, as "switchyard signal" names them.
const (
	signalStop    = syscall.SIGTERM
	signalUpgrade = syscall.SIGUSR1
	signalDrain   = syscall.SIGUSR2
)

// drainSlack is what a drain may take beyond server.drain_time: the last clients have the tick of their deadline, and then websocket.linger_timeout to close.
const drainSlack = 3 * time.Second

// notify collects the signals from now on. The first that wants an end counts, so a few places are enough.
func notify() chan os.Signal {
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, signalStop, syscall.SIGINT, signalUpgrade, signalDrain)
	return signals
}

// lifecycle serves until a signal ends it. It belongs to one goroutine, run's; the work of a drain and of a check goes on beside it and ends
// with it.
//
//	SIGTERM, SIGINT   run returns: stop
//	SIGUSR2           drains without haste, then run returns: stop. Stop may come in the middle.
//	SIGUSR1           checks the new binary, then run returns: upgrade. While it checks, or if it fails, nothing changes.
//
// A signal that makes no sense any more, such as an upgrade of a server that drains, is logged.
type lifecycle struct {
	server  *server
	signals <-chan os.Signal
	check   func(context.Context) error // whether the new binary could take over

	work    sync.WaitGroup
	drained chan struct{} // nil until a drain began; closed when it is over
	checked chan error    // nil while no check is under way
}

// run returns whether to upgrade; else stop.
func (c *lifecycle) run() (upgrade bool) {
	ctx, cancel := context.WithCancel(context.Background())
	defer c.work.Wait()
	defer cancel()
	for {
		select {
		case sig := <-c.signals:
			if stop := c.handle(ctx, sig); stop {
				return false
			}
		case <-c.drained:
			return false
		case err := <-c.checked:
			c.checked = nil
			if err == nil {
				return true
			}
			c.server.upgradeFailed(err)
		}
	}
}

func (c *lifecycle) handle(ctx context.Context, sig os.Signal) (stop bool) {
	switch {
	case sig == signalDrain && c.drained == nil:
		c.drained, c.checked = make(chan struct{}), nil
		c.work.Go(func() {
			defer close(c.drained)
			c.server.drain(ctx)
		})
	case sig == signalUpgrade && c.drained == nil && c.checked == nil:
		checked := make(chan error, 1)
		c.checked = checked
		c.work.Go(func() { checked <- c.check(ctx) })
	case sig == signalDrain || sig == signalUpgrade:
		c.server.log.Warn("a signal is ignored, because the server drains or upgrades already", "signal", sig.String())
	default:
		return true
	}
	return false
}

// drain takes the server out of service without haste: first readiness fails while everything is served as ever, so that the load balancer
// sends new clients elsewhere; then no new connections come and the clients leave one by one.
func (s *server) drain(ctx context.Context) {
	delay, over := time.Duration(s.cfg.Server.LameDuckDelay), time.Duration(s.cfg.Server.DrainTime)
	s.phase.Store(int32(draining))
	s.log.Info("draining: not ready any more", "lame_duck_delay", delay, "drain_time", over)
	select {
	case <-time.After(delay):
	case <-ctx.Done():
		return
	}
	s.log.Info("draining: no new connections, clients leave")
	ctx, cancel := context.WithTimeout(ctx, over+drainSlack+time.Duration(s.cfg.Websocket.LingerTimeout))
	defer cancel()
	if err := s.net.Drain(ctx, over); err != nil {
		s.log.Warn("draining ended early", "error", err)
	}
}

// upgradeFailed tells why there is no upgrade, in the log and in /varz.
func (s *server) upgradeFailed(err error) {
	s.log.Error("no upgrade; the server goes on as before", "error", err)
	s.upgrades.Store(&failedUpgrade{at: time.Now(), err: err})
}
