package sink

import "time"

// OpenOn opens a store on another file system.
var OpenOn = openOn

// ShippedUpTo is the number of the last entry that was shipped.
func (o *Outbox) ShippedUpTo() uint64 {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.shipped.number
}

// Reclaim is cfg with another time after which deleted ranges go to the disk.
func Reclaim(cfg Config, after time.Duration) Config {
	cfg.reclaim = after
	return cfg
}
