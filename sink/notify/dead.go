package notify

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/switchyard-im/switchyard/sink/deadletter"
)

// Letter is one line of the file of dead letters. Whoever mends a notification may edit its line; replaying takes what stands there.
type Letter struct {
	Time     time.Time `json:"time"`
	Error    string    `json:"error"`
	Endpoint string    `json:"endpoint"`
	Attempts int       `json:"attempts"`

	Notification json.RawMessage `json:"notification,omitempty"`
	Raw          []byte          `json:"raw,omitempty"` // instead: bytes that are no notification; base64
}

func (l *lane) letter(body []byte, attempts int, f *failure) Letter {
	return newLetter(l.cfg.Name, body, attempts, f)
}

func newLetter(endpoint string, body []byte, attempts int, err error) Letter {
	letter := Letter{Time: time.Now().UTC(), Error: err.Error(), Endpoint: endpoint, Attempts: attempts}
	if json.Valid(body) {
		letter.Notification = body
	} else {
		letter.Raw = body
	}
	return letter
}

// burial writes dead letters. Safe for concurrent use.
type burial struct{ file deadletter.File[Letter] }

func newBurial(path string) (burial, error) {
	if info, err := os.Stat(filepath.Dir(path)); err != nil || !info.IsDir() {
		return burial{}, fmt.Errorf("notify: the directory of the dead letters, %s, is not there: create it", filepath.Dir(path))
	}
	return burial{deadletter.File[Letter]{Path: path}}, nil
}

func (b burial) bury(letters []Letter) error { return b.file.Append(letters) }
