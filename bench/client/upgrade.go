package client

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// maxResponse bounds the answer to the upgrade request.
const maxResponse = 16 << 10

// readers are buffers for http.ReadResponse, which would be most of the garbage of a dial. As many as loops that read an answer at once.
var readers = sync.Pool{New: func() any { return bufio.NewReader(nil) }}

// UpgradeError is what a connection closes with when the server answered the upgrade with anything but 101.
type UpgradeError struct {
	Status     int
	Body       string        // its first line
	RetryAfter time.Duration // zero if the server named none
}

// Error implements error.
func (e *UpgradeError) Error() string {
	return fmt.Sprintf("client: the server refused the upgrade: %d %s: %s", e.Status, http.StatusText(e.Status), e.Body)
}

// checkUpgrade looks for the complete answer to the upgrade request at the start of p. It returns what follows it; ok is false while it
// is incomplete.
func (t *Target) checkUpgrade(p []byte) (rest []byte, ok bool, err error) {
	end := bytes.Index(p, []byte("\r\n\r\n"))
	if end < 0 {
		if len(p) > maxResponse {
			return nil, false, fmt.Errorf("%w: upgrade response over %d bytes", ErrProtocol, maxResponse)
		}
		return p, false, nil
	}
	end += 4
	r := readers.Get().(*bufio.Reader)
	r.Reset(bytes.NewReader(p))
	defer readers.Put(r)
	resp, err := http.ReadResponse(r, nil)
	if err != nil {
		return nil, false, fmt.Errorf("%w: %w", ErrProtocol, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusSwitchingProtocols {
		return nil, false, refusal(resp)
	}
	if got := resp.Header.Get("Sec-WebSocket-Accept"); got != t.accept {
		return nil, false, fmt.Errorf("%w: Sec-WebSocket-Accept is %q, want %q", ErrProtocol, got, t.accept)
	}
	if got := resp.Header.Get("Sec-WebSocket-Protocol"); got != t.protocol {
		return nil, false, fmt.Errorf("%w: the server chose %q, want %q", ErrSubprotocol, got, t.protocol)
	}
	return p[end:], true, nil
}

func refusal(resp *http.Response) error {
	body, _ := io.ReadAll(io.LimitReader(resp.Body, 256))
	line, _, _ := strings.Cut(strings.TrimSpace(string(body)), "\n")
	seconds, _ := strconv.Atoi(resp.Header.Get("Retry-After"))
	return &UpgradeError{Status: resp.StatusCode, Body: line, RetryAfter: time.Duration(seconds) * time.Second}
}
