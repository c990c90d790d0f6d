package client

import (
	"errors"
	"sync"
)

// Fleet is some loops that run together. Its methods are called by the goroutine that made it.
type Fleet struct {
	Loops []*Loop

	running sync.WaitGroup
	mu      sync.Mutex
	err     error // guarded by mu
}

// NewFleet starts n loops, each on a goroutine of its own. Stop ends them and waits.
func NewFleet(n int) (*Fleet, error) {
	f := &Fleet{}
	for range n {
		l, err := NewLoop()
		if err != nil {
			_ = f.Stop()
			return nil, err
		}
		f.Loops = append(f.Loops, l)
		f.running.Go(func() { f.fail(l.Run()) })
	}
	return f, nil
}

func (f *Fleet) fail(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.err = errors.Join(f.err, err)
}

// Each runs fn on every loop, in parallel, and waits for all. It must not be called after Stop.
func (f *Fleet) Each(fn func(i int, l *Loop)) {
	var done sync.WaitGroup
	done.Add(len(f.Loops))
	for i, l := range f.Loops {
		l.Post(func() {
			defer done.Done()
			fn(i, l)
		})
	}
	done.Wait()
}

// Stop closes all connections, waits for the loops and returns what broke one of them.
func (f *Fleet) Stop() error {
	for _, l := range f.Loops {
		l.Stop()
	}
	f.running.Wait()
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.err
}
