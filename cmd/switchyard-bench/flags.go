package main

import (
	"fmt"
	"time"
)

// notZero wants pairs of a flag and its value to be more than zero: a scenario would take its default for a zero that somebody gave.
func notZero(flags ...any) error {
	for i := 0; i < len(flags); i += 2 {
		positive := false
		switch v := flags[i+1].(type) {
		case int:
			positive = v > 0
		case time.Duration:
			positive = v > 0
		default:
			panic(fmt.Sprintf("BUG: switchyard-bench: --%s is a %T", flags[i], v))
		}
		if !positive {
			return fmt.Errorf("--%s: %v is out of range, give more than 0", flags[i], flags[i+1])
		}
	}
	return nil
}
