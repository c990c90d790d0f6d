package sink

import (
	"time"
)

// sizeInterval is how often the files of the store are added up.
const sizeInterval = 10 * time.Second

// watchSpace looks at the free space until the store is closed. Low space interrupts the store like a failure, but the engine stays
// open and reads go on.
func (s *Store) watchSpace() {
	defer close(s.watched)
	var sized time.Time
	tick := time.NewTicker(s.cfg.SpaceInterval)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			s.checkSpace()
			if time.Since(sized) >= sizeInterval {
				s.measureSize()
				sized = time.Now()
			}
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

// measureSize adds up the files of the store. Pebble could tell as well, but asking it takes its locks, and it may be the one that hangs.
func (s *Store) measureSize() {
	names, err := s.fs.List(s.cfg.Dir)
	if err != nil {
		return
	}
	var size int64
	for _, name := range names {
		if info, err := s.fs.Stat(s.fs.PathJoin(s.cfg.Dir, name)); err == nil { // it may just have been removed
			size += info.Size()
		}
	}
	s.metrics.disk.Set(float64(size))
}
