package notify

import (
	"math/rand/v2"
	"time"
)

// maxWait bounds what an endpoint may ask for with Retry-After.
const maxWait = 24 * time.Hour

// backoff is the wait after so many attempts that failed: half to all of a bound that doubles from least to most, so that what failed together
// does not come again together.
func backoff(least, most time.Duration, failed int) time.Duration {
	bound := most
	if failed < 32 && least<<(failed-1) < most {
		bound = least << (failed - 1)
	}
	return bound/2 + rand.N(bound/2+1)
}
