package dispatch

import "time"

// pressure is how much the server has to give up, by class, in the order of the classes: level 0 nothing, level 1 the first class, and so on.
// It is pure: load and time come in. Owned by the governor's goroutine.
//
// Load is a share of what the server can bear: 1 is where new messages are refused, or memory is used up. Each level is entered when the load
// stood at its threshold for riseAfter without a break, so one slow fsync sheds nothing, and is left after fallAfter clearly below it, one
// level at a time in both directions; but a load of 1 leads to the last level at once, because messages go before nothing else.
type pressure struct {
	level int
	hot   int64 // Unix nanoseconds since when the load stands at the next level's threshold; 0: it does not
	full  int64 // since when it stands at 1; 0: it does not
	calm  int64 // since when it stands clearly below this level's; 0: it does not
}

const (
	levels    = 4
	slack     = 0.1 // below its threshold a level is left
	riseAfter = int64(100 * time.Millisecond)
	fallAfter = int64(time.Second)
)

// step takes the load at a time and returns the level from then on.
func (p *pressure) step(now int64, load float64) int {
	p.hot = since(p.hot, now, p.level < levels && load >= threshold(p.level+1))
	p.full = since(p.full, now, p.level < levels && load >= 1)
	p.calm = since(p.calm, now, p.level > 0 && load < threshold(p.level)-slack)
	switch {
	case p.full != 0 && now-p.full >= riseAfter:
		*p = pressure{level: levels}
	case p.hot != 0 && now-p.hot >= riseAfter:
		*p = pressure{level: p.level + 1}
	case p.calm != 0 && now-p.calm >= fallAfter:
		*p = pressure{level: p.level - 1}
	}
	return p.level
}

// threshold is the load at which a level is entered: fifths of what the server can bear.
func threshold(level int) float64 { return float64(level) / (levels + 1) }

// since keeps the time from which on something is true without a break.
func since(at, now int64, yes bool) int64 {
	switch {
	case !yes:
		return 0
	case at == 0:
		return now
	}
	return at
}
