package history

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

// TestCatchUpRate: no more rows a second than configured, and what was not used for a while may not be made up for.
func TestCatchUpRate(t *testing.T) {
	for rate, want := range map[int]time.Duration{1000: 900 * time.Millisecond, 500: 1900 * time.Millisecond, -1: 0} {
		synctest.Test(t, func(t *testing.T) {
			s := &Shipper{cfg: Config{CatchUpRate: rate}}
			for range 2 {
				time.Sleep(time.Hour)
				start := time.Now()
				for range 10 {
					if err := s.pace(context.Background(), 100); err != nil {
						t.Fatal(err)
					}
				}
				if took := time.Since(start); took != want {
					t.Errorf("1,000 rows at %d a second took %v, want %v", rate, took, want)
				}
			}
		})
	}
}
