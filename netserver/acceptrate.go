package netserver

// New connections beyond Limits.AcceptRate are answered 503 with a time to come back, and beyond as many refusals again they stay in the
// kernel's backlog until the next tick. So a flood makes the server do bounded work: at most twice the rate is accepted at all, and a
// refusal is three system calls and no connection. It costs 33-42 us of CPU, most of it the kernel's for making and ending a TCP connection, where one
// that is served and closed costs 62-72 us (serve, loopback, a shared machine): so refusals need a bound too, and closing without an
// answer would save little. What stays in the backlog costs no call, and when that is full the kernel drops the attempts and honest
// clients repeat theirs. Leaving everything over the rate there instead would make honest clients wait for a place
// behind the flood, without a word, until they give up; closing without an answer would make them come back at once.

// pace is a token bucket by its virtual clock: full is the time at which it is full again, and each token moves that on by an
// interval. All times in nanoseconds.
type pace struct {
	interval int64 // 0: no limit
	span     int64 // that all tokens last
	full     int64
}

func newPace(rate, burst int) pace {
	if rate == 0 {
		return pace{}
	}
	interval := int64(1e9) / int64(rate)
	return pace{interval: interval, span: interval * int64(burst)}
}

// empty tells whether there is no token. It brings full up to now, and back from further off than a full bucket allows, which happens when
// the clock is set back.
func (p *pace) empty(now int64) bool {
	p.full = min(max(p.full, now), now+p.span)
	return p.interval > 0 && p.full+p.interval > now+p.span
}

// take takes a token, if there is one.
func (p *pace) take(now int64) bool {
	if p.empty(now) {
		return false
	}
	p.full += p.interval
	return true
}

// acceptRate decides what becomes of new connections. Owned by the listener's loop.
type acceptRate struct{ accepts, refusals pace }

func newAcceptRate(l *Limits) acceptRate {
	return acceptRate{newPace(l.AcceptRate, l.AcceptBurst), newPace(l.AcceptRate, l.AcceptRate)}
}

// spent tells that the next connection could not even be refused.
func (r *acceptRate) spent(now int64) bool { return r.accepts.empty(now) && r.refusals.empty(now) }

// admit tells whether a connection that was accepted may stay, and counts it as refused otherwise.
func (r *acceptRate) admit(now int64) bool {
	if r.accepts.take(now) {
		return true
	}
	r.refusals.take(now)
	return false
}

// busyAnswers spread the return of those who were turned away over ten seconds.
var busyAnswers = func() (all [10]answer) {
	for i := range all {
		all[i] = unavailable(int64(1 + i))
	}
	return all
}()

// turnAway answers a connection that was just accepted and closes it. What came of its request is read first: closing a socket with unread
// input sends a reset, upon which some clients forget what they received. One whose request comes later may see the reset all the same; to wait
// for it would cost what an accepted connection costs.
func (a *listener) turnAway(fd int32) {
	l := a.loop
	busy := &busyAnswers[l.n.limited[limitAcceptRate]%uint64(len(busyAnswers))]
	l.limited(limitAcceptRate)
	l.n.answered(busy.status)
	sysRead(fd, l.in)
	sysWrite(fd, busy.text)
	sysClose(fd)
}
