package client

import "time"

// epoch is the zero of Now. One zero for the whole process lets times that different loops took be subtracted.
var epoch = time.Now()

// Now returns nanoseconds on a clock that never jumps, since some moment before the first call. Safe from any goroutine.
func Now() int64 { return int64(time.Since(epoch)) }
