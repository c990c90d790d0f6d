// Package cluster has several processes, here or on other machines, drive one load: a controller gives each member its part, starts all at the same moment, adds up
// what they show each second, and collects what they found.
//
// A member is a process that the controller starts and talks to over pipes (Start, Serve), or an agent on another machine, which it dials (Dial, Listen). Both
// speak the same protocol: messages of JSON, each behind its length in four bytes (big endian):
//
//	controller -> member   hello, job, go (through a gate), stop, alive
//	member -> controller   hello, at (a gate), sample, done or failed, alive
//
// What a job is, and what a member makes of it, only the caller knows.
package cluster

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/switchyard-im/switchyard/bench/meter"
)

// protocol is the number of this protocol; both ends must have the same.
const protocol = 1

// maxMessage bounds a message, in bytes. A report has some kilobytes for each histogram and each load.
const maxMessage = 16 << 20

// Liveness. Who hears nothing for so long takes the other end for lost, whatever the network says.
const (
	aliveEvery  = time.Second
	silentAfter = 10 * time.Second
)

// Kinds of messages.
const (
	kindHello  = "hello"  // Protocol and Version; the first of each end
	kindJob    = "job"    // Part, Of, Body
	kindAt     = "at"     // Text: the gate at which the member waits
	kindGo     = "go"     // Text: the gate that is open now
	kindSample = "sample" // Sample
	kindDone   = "done"   // Body: what the member found
	kindFailed = "failed" // Text: why there is nothing
	kindStop   = "stop"   // end early, and say what there is
	kindAlive  = "alive"
)

type message struct {
	Kind     string          `json:"kind"`
	Text     string          `json:"text,omitempty"`
	Protocol int             `json:"protocol,omitempty"`
	Version  string          `json:"version,omitempty"`
	Part     int             `json:"part,omitempty"`
	Of       int             `json:"of,omitempty"`
	Body     json.RawMessage `json:"body,omitempty"`
	Sample   *meter.Sample   `json:"sample,omitempty"`
}

// link is a connection of the protocol. A goroutine reads it, another says each second that this end is alive; close ends both and waits.
type link struct {
	conn    io.ReadWriteCloser
	in      chan message // closed when nothing comes any more; reason tells why
	silence *time.Timer  // closes the connection; put off by whatever is read

	ended   chan struct{} // closed by close
	closing sync.Once
	running sync.WaitGroup

	writing sync.Mutex // a writer blocks while the other end does not read, until that is taken for lost

	mu  sync.Mutex
	err error // why nothing comes any more; guarded by mu
}

var (
	errSilent = fmt.Errorf("nothing was heard for %s", silentAfter)
	errTooBig = fmt.Errorf("a message is larger than %d MiB", maxMessage>>20)
)

func newLink(conn io.ReadWriteCloser) *link {
	l := &link{conn: conn, in: make(chan message), ended: make(chan struct{})}
	l.silence = time.AfterFunc(silentAfter, func() {
		l.fail(errSilent)
		_ = conn.Close()
	})
	l.running.Go(l.read)
	l.running.Go(l.sayAlive)
	return l
}

// read hands on all messages but those that only show that the other end lives.
func (l *link) read() {
	defer close(l.in)
	for {
		m, err := readMessage(l.conn)
		if err != nil {
			l.fail(err)
			return
		}
		l.silence.Reset(silentAfter)
		if m.Kind == kindAlive {
			continue
		}
		select {
		case l.in <- m:
		case <-l.ended:
			return
		}
	}
}

func (l *link) sayAlive() {
	tick := time.NewTicker(aliveEvery)
	defer tick.Stop()
	for {
		select {
		case <-l.ended:
			return
		case <-tick.C:
			_ = l.send(message{Kind: kindAlive}) // the reader meets what is wrong
		}
	}
}

// fail notes the first reason.
func (l *link) fail(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err == nil {
		l.err = err
	}
}

func (l *link) reason() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err
}

// send writes a message. Safe for concurrent use.
func (l *link) send(m message) error {
	text, err := json.Marshal(m)
	if err != nil {
		return fmt.Errorf("cluster: %w", err)
	}
	if len(text) > maxMessage {
		return fmt.Errorf("cluster: %q: %w", m.Kind, errTooBig)
	}
	packet := append(binary.BigEndian.AppendUint32(nil, uint32(len(text))), text...)
	l.writing.Lock()
	defer l.writing.Unlock()
	if _, err := l.conn.Write(packet); err != nil {
		return fmt.Errorf("cluster: %w", err)
	}
	return nil
}

// close ends the connection and waits for the goroutines.
func (l *link) close() {
	l.closing.Do(func() { close(l.ended) })
	l.silence.Stop()
	_ = l.conn.Close()
	l.running.Wait()
	l.silence.Stop() // the reader may have put it off meanwhile
}

// errGone is the end of a connection that the other end closed.
var errGone = errors.New("it closed the connection")

// readMessage reads one, and allocates no more than has come.
func readMessage(r io.Reader) (m message, err error) {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return m, errGone
		}
		return m, err
	}
	size := binary.BigEndian.Uint32(head[:])
	if size > maxMessage {
		return m, errTooBig
	}
	var text bytes.Buffer
	if n, err := io.CopyN(&text, r, int64(size)); err != nil {
		return m, fmt.Errorf("%w after %d of %d bytes of a message", errGone, n, size)
	}
	if err := json.Unmarshal(text.Bytes(), &m); err != nil {
		return m, fmt.Errorf("this is no message of the protocol: %w", err)
	}
	return m, nil
}
