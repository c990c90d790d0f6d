package history

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/switchyard-im/switchyard/sink/deadletter"
)

// eraseDead takes a user out of the file. Whoever appends waits meanwhile. A replay under way has letters of its own: then it fails.
func eraseDead(f deadFile, e *erasure) (changed int, err error) {
	err = f.Rewrite(func() (letters []deadLetter, some bool, err error) {
		letters, changed, err = withoutUser(f, e)
		return letters, changed > 0, err
	})
	if errors.Is(err, deadletter.ErrReplaying) {
		err = fmt.Errorf("history: %w: run switchyard history replay-dead, then this again", err)
	}
	if err != nil {
		return 0, err
	}
	return changed, nil
}

// countDead counts the letters that have something of a user.
func countDead(f deadFile, e *erasure) (n int, err error) {
	if _, n, err = withoutUser(f, e); errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	return n, err
}

// withoutUser reads the letters and erases a user from them; the file stays as it is.
func withoutUser(f deadFile, e *erasure) (letters []deadLetter, changed int, err error) {
	if letters, err = readDead(f.Path); err != nil {
		return nil, 0, err
	}
	for i := range letters {
		if e.letter(&letters[i]) {
			changed++
		}
	}
	return letters, changed, nil
}
