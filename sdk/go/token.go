package switchyard

import (
	"context"
	"time"

	"github.com/switchyard-im/switchyard/frame"
)

// Clock is what heartbeats tell about the server.
type Clock struct {
	RoundTrip time.Duration // of the last heartbeat
	Offset    time.Duration // server's clock minus ours, as good as half the round trip
	At        time.Time     // when it was measured; zero: not yet
}

// welcome takes what the server says about the connection and the token. Called with mu.
func (s *session) welcome(w *frame.Welcome, now time.Time) {
	s.user, s.role = string(w.User), string(w.Role)
	if w.MaxMessage > 0 {
		s.out.maxBytes = int(min(w.MaxMessage, 1<<30))
	}
	s.expires = expiry{}
	if w.ExpiresMS > w.ServerMS {
		life := milliseconds(w.ExpiresMS - w.ServerMS)
		s.expires.at = now.Add(life)
		s.expires.refresh = now.Add(life - life/5)
	}
}

// refreshed takes the answer to a hello that carried a new token.
func (s *session) refreshed(w *frame.Welcome, now time.Time) {
	if w.Ref == s.helloRef {
		s.helloRef = 0
	}
	s.welcome(w, now)
	s.wake()
}

// refreshFailed tries again after a while; when the token is over, the server closes the connection and a new one asks for a new token.
func (s *session) refreshFailed(err error) {
	s.helloRef = 0
	s.opts.Logger.Warn("switchyard: token not refreshed", "error", err)
	left := time.Until(s.expires.at)
	if s.expires.at.IsZero() || left <= 0 {
		return
	}
	s.expires.refresh = time.Now().Add(max(left/4, time.Second))
	s.wake()
}

// refreshDue returns true once when a new token should be asked for.
func (s *session) refreshDue(now time.Time) (next time.Time, due bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.expires.refresh.IsZero() || now.Before(s.expires.refresh) {
		return s.expires.refresh, false
	}
	s.expires.refresh = time.Time{}
	return time.Time{}, true
}

// refresh asks the application for a token and sends it. It runs on a goroutine of its own that the client waits for.
func (c *Client) refresh(ctx context.Context) {
	token, err := c.token(ctx)
	s := c.session
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.up {
		return
	}
	if err != nil {
		s.refreshFailed(err)
		return
	}
	s.helloRef = s.ref()
	hello := frame.Hello{Ref: s.helloRef, Token: []byte(token), Agent: []byte(s.opts.Agent)}
	if s.relist {
		hello.Flags, s.relist = frame.HelloList, false
	}
	s.send(&hello)
}

// heartbeat asks the server for its time.
func (s *session) heartbeat(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.beatSent = now
	s.send(&frame.Heartbeat{ClientMS: uint64(now.UnixMilli())})
	s.mendStalled()
}

// mendStalled resumes conversations where an own message was accepted beyond something that never came. Called with mu.
func (s *session) mendStalled() {
	for _, c := range s.convs {
		if c.phase == live && c.track.behind() {
			s.join(c)
		}
	}
}

// beat takes the answer to a heartbeat.
func (s *session) beat(h *frame.Heartbeat, now time.Time) {
	if h.ClientMS != uint64(s.beatSent.UnixMilli()) {
		return
	}
	trip := now.Sub(s.beatSent)
	s.clock = Clock{RoundTrip: trip, Offset: fromMS(h.ServerMS).Add(trip / 2).Sub(now), At: now}
}
