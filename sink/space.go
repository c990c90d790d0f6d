package sink

import (
	"time"
)

// watchSpace looks at the free space until the store is closed. Low space interrupts the store like a failure, but the engine stays
// open and reads go on.
func (s *Store) watchSpace() {
	defer close(s.watched)
	tick := time.NewTicker(s.cfg.SpaceInterval)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			s.checkSpace()
		case <-s.stopped:
			return
		}
	}
}

// checkSpace refuses below MinFree and accepts again with an eighth more. Where the file system does not tell, it is never low.
func (s *Store) checkSpace() {
	usage, err := s.fs.GetDiskUsage(s.cfg.Dir)
	if err != nil {
		return
	}
	free := usage.AvailBytes
	s.metrics.free.Set(float64(free))
	limit := uint64(s.cfg.MinFree)
	switch low := s.low.Load(); {
	case !low && free < limit:
		s.low.Store(true)
		s.generation.Add(1)
		s.metrics.failures.WithLabelValues("low_space").Inc()
		s.log.Error("sink: too little free space; nothing is accepted until there is more", "dir", s.cfg.Dir, "free", free, "needed", limit+limit/8)
	case low && free >= limit+limit/8:
		s.generation.Add(1)
		s.low.Store(false)
		s.log.Info("sink: there is free space again", "dir", s.cfg.Dir, "free", free)
	}
}
