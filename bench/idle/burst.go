package idle

import (
	"context"
	"crypto/rand"
	"fmt"
	"strings"
	"time"

	"github.com/switchyard-im/switchyard/bench/client"
	"github.com/switchyard-im/switchyard/frame"
)

// The sizes of a burst's message.
const (
	minBurst = 200
	maxBurst = 1 << 20
)

// sendRoom is what a send frame needs besides its text.
const sendRoom = 100

// near is what counts as returned: within a tenth of the memory before the burst.
const near = 1.1

// Burst is what became of the server's memory when every connection sent a message at once, until all were accepted, and was idle again. Nobody asks the server to
// collect its garbage in this part, because nobody does so in a real installation.
type Burst struct {
	Bytes    int     `json:"bytes"`            // of each message
	Seconds  float64 `json:"seconds"`          // until all were answered
	RSSPeak  int64   `json:"rss_peak_bytes"`   // the highest that was seen
	RSSAfter int64   `json:"rss_after_bytes"`  // when it had returned, or the time was over
	Returned bool    `json:"returned"`         // to within 10 % of the figure before
	Return   float64 `json:"returned_seconds"` // from the last answer until then
}

// String is the row of the table.
func (b *Burst) String() string {
	how := "returned to within 10 % after"
	if !b.Returned {
		how = "did NOT return to within 10 % in"
	}
	return fmt.Sprintf("%d B each, answered in %.1f s: RSS up to %.1f MB, %s %.0f s, with %.1f MB", b.Bytes, b.Seconds, float64(b.RSSPeak)/1e6, how, b.Return, float64(b.RSSAfter)/1e6)
}

// burst has every connection send a message, waits for the answers, and watches the memory return to what it was.
func (r *run) burst(ctx context.Context, before int64) (*Burst, error) {
	b := &Burst{Bytes: r.cfg.Burst}
	from := client.Now()
	r.fleet.Each(func(i int, _ *client.Loop) {
		for _, v := range r.visitors[i] {
			v.burst()
		}
	})
	answered := 0
	if err := r.look(ctx, "bursting", b, r.cfg.OpenWithin, 100*time.Millisecond, func() bool {
		for answered < r.cfg.own() && len(r.ready) > 0 {
			<-r.ready
			answered++
		}
		return answered == r.cfg.own()
	}); err != nil {
		return nil, err
	}
	if answered < r.cfg.own() {
		return nil, fmt.Errorf("idle: only %d of %d messages of the burst were answered within %s", answered, r.cfg.own(), r.cfg.OpenWithin)
	}
	ended := client.Now()
	b.Seconds = float64(ended-from) / 1e9
	err := r.look(ctx, "returning", b, r.cfg.Return, min(time.Second, r.cfg.Return/8), func() bool {
		b.Returned = float64(b.RSSAfter) <= near*float64(before)
		return b.Returned
	})
	b.Return = float64(client.Now()-ended) / 1e9
	return b, err
}

// look reads the server's memory every so often until done says so, or for d.
func (r *run) look(ctx context.Context, phase string, b *Burst, d, every time.Duration, done func() bool) error {
	for end := time.Now().Add(d); time.Now().Before(end); {
		if err := r.rest(ctx, phase, every); err != nil {
			return err
		}
		u, err := r.cfg.Server.Read(ctx)
		if err != nil {
			return err
		}
		b.RSSAfter, b.RSSPeak = u.RSSBytes, max(b.RSSPeak, u.RSSBytes)
		if done() {
			return nil
		}
	}
	return nil
}

// burst sends the visitor's message: any bytes to an echo server, or one to its conversation, with the same id each time.
func (v *visitor) burst() {
	if v.run.cfg.State == Upgraded {
		v.say(make([]byte, v.run.cfg.Burst))
		return
	}
	if v.id.IsZero() {
		rand.Read(v.id[:])
	}
	m := frame.Send{Ref: sendRef, Conv: v.conv, Level: 2, ID: v.id, Body: frame.AppendText(nil, strings.Repeat("x", v.run.cfg.Burst-sendRoom))}
	v.say(m.Append(nil))
}
