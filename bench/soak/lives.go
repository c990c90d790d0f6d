package soak

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/switchyard-im/switchyard/bench/observe"
)

// life is what was seen of one process of the server.
type life struct {
	began float64 // seconds since the run began
	looks []look
}

// look is one reading.
type look struct {
	age float64 // seconds
	observe.Vitals
}

// maxLooks bounds what is kept of one life: an hour.
const maxLooks = 3600

// watcher reads the server's vitals each second, on a goroutine of its own. A server that is away or stands still is left out.
type watcher struct {
	admin string
	every time.Duration // between readings
	began time.Time
	stop  context.CancelFunc
	work  sync.WaitGroup

	lives []life  // owned by the goroutine until it ended
	seen  float64 // when the process of the last life was started; likewise
}

// watch starts one; end ends it.
func watch(ctx context.Context, admin string, every time.Duration) *watcher {
	ctx, stop := context.WithCancel(context.WithoutCancel(ctx))
	w := &watcher{admin: admin, every: every, began: time.Now(), stop: stop}
	w.work.Go(func() { w.run(ctx) })
	return w
}

// end ends the watching, and returns the lives.
func (w *watcher) end() []life {
	w.stop()
	w.work.Wait()
	return w.lives
}

func (w *watcher) run(ctx context.Context) {
	again := time.NewTicker(w.every)
	defer again.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-again.C:
			w.look(ctx)
		}
	}
}

// within is how long a reading may take; a server that is away or stands still is not waited for longer.
const within = time.Second

func (w *watcher) look(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	v, err := observe.ReadVitals(ctx, w.admin)
	if err != nil {
		return
	}
	now := time.Now()
	if len(w.lives) == 0 || v.Started != w.seen {
		w.seen = v.Started
		w.lives = append(w.lives, life{began: now.Sub(w.began).Seconds()})
	}
	l := &w.lives[len(w.lives)-1]
	if len(l.looks) < maxLooks {
		l.looks = append(l.looks, look{float64(now.UnixNano())/1e9 - v.Started, v})
	}
}

// age is one that three quarters of the lives reached, in seconds.
func age(lives []life) float64 {
	ages := make([]float64, len(lives))
	for i, l := range lives {
		ages[i] = l.looks[len(l.looks)-1].age
	}
	slices.Sort(ages)
	return ages[len(ages)/4]
}

// at takes one figure of each life that reached the age: the median of the looks of the second half of the time until then.
func at(lives []life, age float64, figure func(v *observe.Vitals) int64) (points []point) {
	for _, l := range lives {
		if l.looks[len(l.looks)-1].age < age {
			continue
		}
		var values []float64
		for i := range l.looks {
			if a := l.looks[i].age; a >= age/2 && a <= age {
				values = append(values, float64(figure(&l.looks[i].Vitals)))
			}
		}
		if len(values) > 0 {
			points = append(points, point{l.began / 60, median(values)})
		}
	}
	return points
}
