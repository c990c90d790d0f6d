package dispatch

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"
)

const ms = int64(time.Millisecond)

// TestPressureScript plays testdata/pressure.txt, which says what its lines mean.
func TestPressureScript(t *testing.T) {
	f, err := os.Open("testdata/pressure.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var p pressure
	lines := 0
	for s := bufio.NewScanner(f); s.Scan(); {
		line := strings.TrimSpace(s.Text())
		if line == "" || line[0] == '#' {
			continue
		}
		var at int64
		var load float64
		var want int
		if _, err := fmt.Sscan(line, &at, &load, &want); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		if got := p.step(1e18+at*ms, load); got != want {
			t.Fatalf("%q: level %d", line, got)
		}
		lines++
	}
	if lines < 40 {
		t.Errorf("the script has %d lines", lines)
	}
}

// TestPressureAgainstModel compares with the obvious version, which remembers all that it was told since the level changed.
func TestPressureAgainstModel(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	var p pressure
	m := pressureModel{}
	now, load := int64(1e18), 0.0
	reached := map[int]bool{}
	for range 200_000 {
		now += int64(r.IntN(100)) * ms
		if r.IntN(20) == 0 {
			load = r.Float64() * 1.2
		}
		noisy := load + (r.Float64()-0.5)/20
		got, want := p.step(now, noisy), m.step(now, noisy)
		if got != want {
			t.Fatalf("level %d, the model says %d", got, want)
		}
		reached[got] = true
	}
	if len(reached) != levels+1 {
		t.Errorf("only levels %v were reached", reached)
	}
}

type pressureModel struct {
	level   int
	history []sample // since the level changed
}

type sample struct {
	at   int64
	load float64
}

func (m *pressureModel) step(now int64, load float64) int {
	m.history = append(m.history, sample{now, load})
	above := func(load float64) bool { return load >= threshold(m.level+1) }
	below := func(load float64) bool { return load < threshold(m.level)-slack }
	switch {
	case m.level < levels && m.lasted(func(load float64) bool { return load >= 1 }, riseAfter):
		m.level = levels
		m.history = nil
	case m.level < levels && m.lasted(above, riseAfter):
		m.level++
		m.history = nil
	case m.level > 0 && m.lasted(below, fallAfter):
		m.level--
		m.history = nil
	}
	return m.level
}

// lasted tells whether something holds for the last samples, over a time.
func (m *pressureModel) lasted(holds func(float64) bool, time int64) bool {
	now := m.history[len(m.history)-1].at
	for i := len(m.history) - 1; i >= 0 && holds(m.history[i].load); i-- {
		if now-m.history[i].at >= time {
			return true
		}
	}
	return false
}
