package notify

import (
	"errors"
	"fmt"
	"time"
)

// failure is why an attempt did not deliver.
type failure struct {
	err error
	// final: it can never succeed.
	final bool
	// away: the endpoint does not work for anybody at present, which says nothing of the notification.
	away bool
	// wait is what the endpoint asked for; 0: nothing.
	wait time.Duration
}

func (f *failure) Error() string { return f.err.Error() }
func (f *failure) Unwrap() error { return f.err }

// final is a failure that can never succeed.
func final(format string, args ...any) error {
	return &failure{err: fmt.Errorf("notify: "+format, args...), final: true}
}

// Final marks an error of Resolve as one that would come again each time: the notification is a dead letter at once, and what follows in the conversation does
// not wait for it.
func Final(err error) error { return &failure{err: err, final: true} }

// asFailure makes a failure of any error. What is not known is tried again, and says nothing of the endpoint.
func asFailure(err error) *failure {
	var f *failure
	if errors.As(err, &f) {
		return f
	}
	return &failure{err: err}
}
