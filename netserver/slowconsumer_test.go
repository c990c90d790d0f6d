package netserver

import (
	"bytes"
	"testing"

	"github.com/gobwas/ws"

	"github.com/switchyard-im/switchyard/frame"
)

// TestSlowConsumerGivesUpWhatWaits stalls a peer until it is found slow. From then on only the rest of a message waits, and the close frame; when it
// reads again, it gets whole messages in order, and its close code, whatever the messages' size and wherever the kernel stopped.
func TestSlowConsumerGivesUpWhatWaits(t *testing.T) {
	const hard = 1 << 20
	for _, size := range []int{16, 100, endsApart - 1, 8 << 10, 100_000, 600_000} {
		l := stoppedLoop(t, Config{Raw: true, OutSoft: hard, OutHard: hard}, Echo{})
		c := pair(t, l).upgrade()
		var sent, got bytes.Buffer
		buf, body := make([]byte, 64<<10), make([]byte, size)
		most := 0
		for i := 0; c.state == stateOpen; i++ {
			for j := range body {
				body[j] = byte(i + j)
			}
			c.WriteMessage(false, body)
			l.end()
			sent.Write(appendHeader(nil, ws.OpBinary, size))
			sent.Write(body)
			if i%7 == 0 { // now and then it takes a little
				got.Write(c.receive(buf[:min(size/2+1, len(buf))]))
				if c.out != nil {
					_ = c.onWrite(nil)
				}
			}
			if c.state == stateOpen && c.out != nil {
				most = max(most, c.out.waiting())
			}
		}
		if c.reason != ReasonSlowConsumer || most < hard/4 {
			t.Fatalf("size %d: reason %v with %d bytes waiting", size, c.reason, most)
		}
		if n := c.out.waiting(); n > endsApart+size+64 {
			t.Errorf("size %d: %d bytes wait for a peer that is given up, of %d", size, n, most)
		}
		for c.out != nil {
			got.Write(c.receive(buf))
			_ = c.onWrite(nil)
		}
		for p := c.receive(buf); len(p) > 0; p = c.receive(buf) {
			got.Write(p)
		}
		end := bytes.LastIndex(got.Bytes(), []byte{0x88, 15, frame.CloseSlowConsumer >> 8, frame.CloseSlowConsumer & 0xff})
		if end < 0 || !bytes.HasPrefix(sent.Bytes(), got.Bytes()[:end]) {
			t.Fatalf("size %d: what it got is not what was sent, with a close frame behind it (at %d of %d bytes)", size, end, got.Len())
		}
		if message := len(appendHeader(nil, ws.OpBinary, size)) + size; end%message != 0 {
			t.Errorf("size %d: the close frame came in the middle of a message", size)
		}
		l.end()
		if l.pool.held != 0 {
			t.Errorf("size %d: %d bytes are still held", size, l.pool.held)
		}
	}
}
