package history

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/switchyard-im/switchyard/bench/api"
	"github.com/switchyard-im/switchyard/bench/client"
	"github.com/switchyard-im/switchyard/bench/crowd"
	"github.com/switchyard-im/switchyard/bench/meter"
	"github.com/switchyard-im/switchyard/bench/observe"
	"github.com/switchyard-im/switchyard/bench/report"
	"github.com/switchyard-im/switchyard/bench/saturation"
)

// run is one run. Owned by the goroutine of Run.
type run struct {
	cfg     Config
	scene   *crowd.Scene
	authors []*crowd.Author
	pagers  []*pager
	shelf   *shelf
	began   time.Time
	shown   time.Time
	phase   string
}

// Run fills the conversations, reads them, and returns the oracle's verdict with the figures; see Report.OK. If ctx ends while they are read, the run ends
// early with a report. The error is a run that could not take place or could not go on; it says what to do about it.
func Run(ctx context.Context, cfg Config) (*Report, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	cfg = cfg.own()
	rep := newReport(&cfg)
	scene := crowd.Config{URL: cfg.URL, Key: cfg.Key, Threads: cfg.Threads, PerSource: cfg.PerSource, Run: cfg.Again}
	err := crowd.Play(scene, cfg.Conversations, func(s *crowd.Scene) error {
		r := &run{cfg: cfg, scene: s, shelf: newShelf(), began: time.Now()}
		rep.Run = fmt.Sprintf("%08x", s.Run)
		return r.do(ctx, rep)
	})
	if err != nil {
		return nil, err
	}
	return rep, nil
}

func (r *run) do(ctx context.Context, rep *Report) error {
	if err := r.write(ctx, rep); err != nil {
		return err
	}
	if r.cfg.Gate != nil {
		if err := r.cfg.Gate(ctx); err != nil {
			return err
		}
	}
	r.shelf.begin = client.Now()
	if !r.cfg.Rate.Never() {
		r.shelf.rate = func(n int64) int64 {
			at, ok := r.cfg.Rate.Due(n*int64(r.cfg.Of) + int64(r.cfg.Part))
			if !ok {
				return never
			}
			return r.shelf.begin + at
		}
	}
	read := r.readSockets
	if r.cfg.API != "" {
		read = r.readWeb
	}
	if err := read(ctx, rep); err != nil {
		return err
	}
	rep.collected(r.shelf)
	r.sample()
	return r.close(ctx)
}

// write has every author write its conversation, or only find it again.
func (r *run) write(ctx context.Context, rep *Report) error {
	messages := uint64(r.cfg.Messages)
	if r.cfg.Again != 0 {
		messages = 0
	}
	loops := r.scene.Fleet.Loops
	for n := range r.cfg.Conversations {
		a, err := r.scene.NewAuthor(loops[n%len(loops)], n*r.cfg.Of+r.cfg.Part, messages, r.cfg.Size)
		if err != nil {
			return err
		}
		r.authors = append(r.authors, a)
	}
	began := time.Now()
	r.scene.Fleet.Each(func(i int, _ *client.Loop) {
		for n := i; n < len(r.authors); n += len(loops) {
			r.authors[n].Conn.Dial()
		}
	})
	ready := func(a *crowd.Author) int64 {
		if a.Conv.IsZero() || a.Written() < messages {
			return 0
		}
		return 1
	}
	if err := r.wait(ctx, "writing", r.cfg.Within, func() bool { return r.sum(ready) == int64(len(r.authors)) }); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if n := r.sum(ready); n < int64(len(r.authors)) {
		return fmt.Errorf("history: only %d of %d conversations were written within %s", n, len(r.authors), r.cfg.Within)
	}
	rep.WriteSeconds = time.Since(began).Seconds()
	return r.found()
}

// found checks that an earlier run's conversations are there, which to open made anew if they were not.
func (r *run) found() error {
	if r.cfg.Again != 0 && r.sum(func(a *crowd.Author) int64 { return min(int64(a.Head), 2) }) < 2*int64(len(r.authors)) {
		return fmt.Errorf("history: run %08x has not written %d conversations on this server: give its --run, and no more --conversations", r.cfg.Again, len(r.authors))
	}
	return nil
}

// sum adds a figure over the authors, each asked on its own loop.
func (r *run) sum(figure func(a *crowd.Author) int64) int64 {
	return r.scene.Sum(func(i int) (n int64) {
		for k := i; k < len(r.authors); k += len(r.scene.Fleet.Loops) {
			n += figure(r.authors[k])
		}
		return n
	})
}

// readWeb reads by the HTTP interface, with a goroutine for each reader.
func (r *run) readWeb(ctx context.Context, rep *Report) error {
	server, err := api.New(r.cfg.API)
	if err != nil {
		return err
	}
	defer server.Close()
	var books []book
	for _, a := range r.authors {
		signed, err := r.cfg.Key.Sign(crowd.Visitor, a.Name(), "", time.Now(), 24*time.Hour)
		if err != nil {
			return err
		}
		books = append(books, book{author: a, token: signed})
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var readers sync.WaitGroup
	for n := range r.cfg.Readers { // they end with the shelf, or with ctx
		w := &web{cfg: &r.cfg, shelf: r.shelf, api: server, books: books, number: n * len(books) / r.cfg.Readers}
		readers.Go(func() {
			if err := w.read(ctx); err != nil && ctx.Err() == nil {
				r.scene.Fail(err)
			}
		})
	}
	err = r.measure(ctx, rep)
	r.shelf.end(client.Now())
	if err != nil {
		stop()
	}
	readers.Wait()
	return errors.Join(err, r.scene.Failed())
}

// readSockets reads over the authors' connections.
func (r *run) readSockets(ctx context.Context, rep *Report) error {
	loops := r.scene.Fleet.Loops
	for n := range r.cfg.Readers {
		r.pagers = append(r.pagers, &pager{cfg: &r.cfg, scene: r.scene, shelf: r.shelf, loop: loops[n%len(loops)]})
	}
	for k, a := range r.authors { // those of a loop are dealt out to its pagers, of which there are no more
		i := k % len(loops)
		mine := (r.cfg.Readers + len(loops) - 1 - i) / len(loops)
		p := r.pagers[i+k/len(loops)%mine*len(loops)]
		p.authors = append(p.authors, a)
	}
	r.eachPager((*pager).begin)
	if err := r.measure(ctx, rep); err != nil {
		return err
	}
	r.shelf.end(client.Now())
	r.eachPager((*pager).rest)
	idle := func() bool {
		return r.scene.Sum(func(i int) (n int64) {
			for k := i; k < len(r.pagers); k += len(loops) {
				if r.pagers[k].busy {
					n++
				}
			}
			return n
		}) == 0
	}
	err := r.wait(context.WithoutCancel(ctx), "draining", r.cfg.Drain, idle)
	r.eachPager((*pager).giveUp)
	return err
}

// eachPager runs fn on every pager's loop and waits.
func (r *run) eachPager(fn func(p *pager)) {
	loops := r.scene.Fleet.Loops
	r.scene.Fleet.Each(func(i int, _ *client.Loop) {
		for n := i; n < len(r.pagers); n += len(loops) {
			fn(r.pagers[n])
		}
	})
}

// closes is how long the end of a run waits for the conversations to be closed, which nothing depends on.
const closes = 2 * time.Second

// close leaves no open conversations behind for the next run on this server.
func (r *run) close(ctx context.Context) error {
	r.scene.Fleet.Each(func(i int, _ *client.Loop) {
		for k := i; k < len(r.authors); k += len(r.scene.Fleet.Loops) {
			r.authors[k].CloseConversation()
		}
	})
	closed := func(a *crowd.Author) int64 {
		if a.Closed() {
			return 1
		}
		return 0
	}
	return r.wait(context.WithoutCancel(ctx), "closing", closes, func() bool { return r.sum(closed) == int64(len(r.authors)) })
}

// measure lets the readers read through the warm-up and the measured window.
func (r *run) measure(ctx context.Context, rep *Report) error {
	if err := r.wait(ctx, "warming up", r.cfg.Warmup, nil); err != nil {
		return err
	}
	if r.cfg.Begin != nil {
		r.cfg.Begin()
	}
	span := observe.Begin(ctx, r.cfg.Server)
	loops := saturation.Start(r.scene.Fleet)
	from := client.Now()
	r.shelf.measure(from, from+int64(r.cfg.Duration))
	if err := r.wait(ctx, "measuring", r.cfg.Duration, nil); err != nil {
		return err
	}
	generator := loops.Stop()
	used := span.End(context.WithoutCancel(ctx))
	seconds := float64(min(client.Now()-from, int64(r.cfg.Duration))) / 1e9
	pages, messages := r.shelf.window()
	rep.Seconds, rep.Rate, rep.MessageRate = seconds, report.Share(float64(pages), seconds), report.Share(float64(messages), seconds)
	rep.Generator = generator
	rep.GeneratorCPUSeconds, rep.GeneratorUSPerPage = used.Self, report.PerMessage(used.Self, pages)
	rep.ServerNote = used.Note
	if used.Server != nil {
		rep.ServerUSPerPage = report.PerMessage(used.Server.CPUSeconds, pages)
		rep.Server = &report.Server{
			RSSBytes: used.Server.RSSBytes, CPUSeconds: used.Server.CPUSeconds, CPUUSPerMessage: report.PerMessage(used.Server.CPUSeconds, messages),
			GCShare: report.Share(used.Server.GCSeconds, used.Server.CPUSeconds),
		}
	}
	return nil
}

// wait lets the run go on for d, until done (if any) says so, or until ctx ends, and shows a sample each second.
func (r *run) wait(ctx context.Context, phase string, d time.Duration, done func() bool) error {
	r.phase = phase
	_, err := r.scene.Until(ctx, phase, d, func() bool {
		if time.Since(r.shown) >= time.Second {
			r.sample()
		}
		return done != nil && done()
	})
	if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		return nil
	}
	return err
}

// sample hands one out.
func (r *run) sample() {
	if r.cfg.Watch == nil {
		return
	}
	r.shown = time.Now()
	sum := meter.Sample{Phase: r.phase, Seconds: time.Since(r.began).Seconds()}
	part := r.shelf.sample()
	sum.Add(&part)
	sum.Counts["written"] = r.sum(func(a *crowd.Author) int64 { return int64(a.Written()) })
	sum.Gauges["connections"] = float64(len(r.authors))
	r.cfg.Watch(sum)
}
