package sink

import (
	"context"
	"time"
)

// OpenOn opens a store on another file system.
var OpenOn = openOn

// ShippedUpTo is the number of the last entry that was shipped.
func (o *Outbox) ShippedUpTo() uint64 { return o.shippedUpTo().number }

// Pruning is cfg with another rhythm of the pruner.
func Pruning(cfg Config, interval time.Duration, step int) Config {
	cfg.pruneInterval, cfg.pruneStep = interval, step
	return cfg
}

// NumberedFrom is cfg with commits that are numbered after last, or after what is stored.
func NumberedFrom(cfg Config, last uint64) Config {
	cfg.numbers = func() uint64 { return last }
	return cfg
}

// Reclaim is cfg with another time after which deleted ranges go to the disk.
func Reclaim(cfg Config, after time.Duration) Config {
	cfg.reclaim = after
	return cfg
}

// Prune deletes what is due now.
func (s *Store) Prune() error {
	for {
		if more, err := s.retention.step(context.Background()); !more || err != nil {
			return err
		}
	}
}
