package chaos

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Kind is what is done.
type Kind string

// The kinds of trouble.
const (
	Kill       Kind = "kill9"      // the server is killed with SIGKILL and started again
	Drain      Kind = "drain"      // the server gets SIGTERM, is waited for, and started again
	Pause      Kind = "pause"      // the server stands still for a while: SIGSTOP, then SIGCONT
	Cut        Kind = "cut"        // the generator resets a share of its connections
	ClickHouse Kind = "clickhouse" // ClickHouse stands still for a while, or is killed and started again
)

// kinds in the order of reports.
var kinds = []Kind{Kill, Drain, Pause, Cut, ClickHouse}

// Trouble is how often something is done, and how. The zero value: never.
type Trouble struct {
	Every  time.Duration // from one to the next, counted from the beginning of the load
	Jitter time.Duration // a random part of this is added to each
	For    time.Duration // how long it lasts (Pause, ClickHouse)
	Share  float64       // of the connections, more than 0 and at most 1 (Cut)
	Mode   string        // "pause", "kill" or "any" (ClickHouse)
}

// uses are the words that mean something for a kind, besides every and jitter.
var uses = map[Kind][]string{Pause: {"for"}, Cut: {"share"}, ClickHouse: {"for", "mode"}}

// UnmarshalText reads "every=30s,jitter=5s,for=2s,share=10%,mode=kill".
func (t *Trouble) UnmarshalText(text []byte) error {
	*t = Trouble{}
	var given []string
	for word := range strings.SplitSeq(string(text), ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(word), "=")
		if slices.Contains(given, name) {
			return fmt.Errorf("chaos: %q is there twice", name)
		}
		given = append(given, name)
		if err := t.set(name, value); err != nil {
			return fmt.Errorf("chaos: %q: %w; use every=30s, and where it fits jitter=5s, for=2s, share=10%%, mode=pause, kill or any", word, err)
		}
	}
	if t.Every == 0 {
		return errors.New("chaos: say how often: every=30s")
	}
	return nil
}

func (t *Trouble) set(name, value string) (err error) {
	switch name {
	case "every":
		t.Every, err = positive(value)
	case "jitter":
		t.Jitter, err = positive(value)
	case "for":
		t.For, err = positive(value)
	case "share":
		t.Share, err = share(value)
	case "mode":
		if t.Mode = value; !slices.Contains([]string{"pause", "kill", "any"}, value) {
			err = errors.New("no such mode")
		}
	default:
		err = errors.New("no such word")
	}
	return err
}

func positive(value string) (time.Duration, error) {
	d, err := time.ParseDuration(value)
	if err == nil && d <= 0 {
		err = errors.New("must be more than 0")
	}
	return d, err
}

// share reads "10%" or "0.1".
func share(value string) (float64, error) {
	number, percent := strings.CutSuffix(value, "%")
	f, err := strconv.ParseFloat(number, 64)
	if percent {
		f /= 100
	}
	if err == nil && !(f > 0 && f <= 1) {
		err = errors.New("must be more than 0 and at most 100%")
	}
	return f, err
}

// Plan is what is done in a run. The zero value: nothing.
type Plan struct {
	Kill, Drain, Pause, Cut, ClickHouse Trouble
}

// of lists the plan by kind.
func (p *Plan) of(k Kind) *Trouble {
	return map[Kind]*Trouble{Kill: &p.Kill, Drain: &p.Drain, Pause: &p.Pause, Cut: &p.Cut, ClickHouse: &p.ClickHouse}[k]
}

// Empty tells whether nothing is done.
func (p Plan) Empty() bool { return p == Plan{} }

// defaults of what a trouble leaves open.
const (
	defaultFor   = 2 * time.Second
	defaultShare = 0.1
	defaultMode  = "any"
)

func (p Plan) withDefaults() Plan {
	for _, k := range []Kind{Pause, ClickHouse} {
		if t := p.of(k); t.Every > 0 && t.For == 0 {
			t.For = defaultFor
		}
	}
	if p.Cut.Every > 0 && p.Cut.Share == 0 {
		p.Cut.Share = defaultShare
	}
	if p.ClickHouse.Every > 0 && p.ClickHouse.Mode == "" {
		p.ClickHouse.Mode = defaultMode
	}
	return p
}

// Check tells what makes no sense in the plan, by the names of the flags.
func (p Plan) Check() error {
	for _, k := range kinds {
		t := p.of(k)
		for name, given := range map[string]bool{"for": t.For != 0, "share": t.Share != 0, "mode": t.Mode != ""} {
			if given && !slices.Contains(uses[k], name) {
				return fmt.Errorf("chaos: %s has no %q; it takes %s", k, name, strings.Join(append([]string{"every", "jitter"}, uses[k]...), ", "))
			}
		}
		if t.Every == 0 && *t != (Trouble{}) {
			return fmt.Errorf("chaos: %s: say how often: every=30s", k)
		}
		if t.Every < 0 || t.Jitter < 0 || t.For < 0 || t.Share < 0 || t.Share > 1 {
			return fmt.Errorf("chaos: %s: durations must not be negative, and a share is at most 1", k)
		}
	}
	return nil
}

// ofServer tells whether something is done to the server, which must then be ours.
func (p *Plan) ofServer() bool {
	return p.Kill.Every+p.Drain.Every+p.Pause.Every > 0
}
