package notify

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/switchyard-im/switchyard/frame"
)

// TestSignature is the example of the standard's own libraries.
func TestSignature(t *testing.T) {
	key, err := parseSecret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
	if err != nil {
		t.Fatal(err)
	}
	got := signature([][]byte{key, key}, "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", []byte(`{"test": 2432232314}`))
	const want = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
	if got != want+" "+want {
		t.Errorf("got %s", got)
	}
}

func TestSecrets(t *testing.T) {
	for _, bad := range []string{"", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_", "whsec_c2hvcnQ=", "whsec_not base64 at all, but long", "whsec_" + strings.Repeat("AAAA", 22)} {
		_, err := parseSecret(bad)
		if err == nil {
			t.Errorf("%q is taken", bad)
			continue
		}
		if bad != "" && bad != secretPrefix && strings.Contains(err.Error(), strings.TrimPrefix(bad, secretPrefix)) {
			t.Errorf("the error shows the secret: %v", err)
		}
	}
}

func TestRetryAfterHeader(t *testing.T) {
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	for value, want := range map[string]time.Duration{
		"": 0, "120": 2 * time.Minute, "-1": 0, "x": 0, "1.5": 0, "999999999": maxWait, "99999999999999999999": 0,
		now.Add(90 * time.Second).Format(http.TimeFormat): 90 * time.Second,
		now.Add(-time.Hour).Format(http.TimeFormat):       0,
	} {
		if got := retryAfter(value, now); got != want {
			t.Errorf("%q: %v instead of %v", value, got, want)
		}
	}
}

func TestBackoff(t *testing.T) {
	for failed := 1; failed < 70; failed++ {
		bound := min(time.Hour, time.Second<<min(failed-1, 30))
		for range 20 {
			if d := backoff(time.Second, time.Hour, failed); d < bound/2 || d > bound {
				t.Fatalf("after %d failures: %v, the bound is %v", failed, d, bound)
			}
		}
	}
}

// model is a lane and how it should be emptied, told in the simplest way: all notices in a list.
type model struct {
	rng     *rand.Rand
	waiting []modelNotice // ascending
	given   uint64
}

type modelNotice struct {
	number uint64
	conv   frame.ID
	dueMS  uint64
	taken  bool
}

func (m *model) put() {
	m.given++
	m.waiting = append(m.waiting, modelNotice{number: m.given, conv: frame.ID{byte(m.rng.IntN(6))}}) // 0: of none
}

// fill does what a lane does.
func (m *model) fill(p *plan) {
	for _, n := range m.waiting {
		if n.number > p.cursor && !p.add(n.conv, item{number: n.number, dueMS: n.dueMS}) {
			return
		}
	}
}

func (m *model) index(number uint64) int {
	return slices.IndexFunc(m.waiting, func(n modelNotice) bool { return n.number == number })
}

// take checks that a conversation may be sent: its first notice is the first of its conversation that waits, and is not under way.
func (m *model) take(c *conversation) error {
	first := c.items[0].number
	for i, n := range m.waiting {
		switch {
		case n.number == first && n.taken:
			return fmt.Errorf("%d is taken twice", first)
		case n.number == first:
			m.waiting[i].taken = true
			return nil
		case n.conv == c.key.conv && !n.conv.IsZero():
			return fmt.Errorf("%d is taken before %d of the same conversation", first, n.number)
		}
	}
	return fmt.Errorf("%d is taken and does not wait", first)
}

// end settles or puts off the first n notices of a conversation.
func (m *model) end(p *plan, c *conversation, n int, nowMS uint64) {
	if m.rng.IntN(3) == 0 {
		due := nowMS + uint64(m.rng.IntN(20))
		m.waiting[m.index(c.items[0].number)].taken = false
		for _, it := range c.items[:n] {
			m.waiting[m.index(it.number)].dueMS = due
		}
		p.again(c, n, due, 1)
		p.release(c)
		return
	}
	for _, it := range c.items[:n] {
		i := m.index(it.number)
		m.waiting = slices.Delete(m.waiting, i, i+1)
	}
	if p.settled(c, n) {
		var items []item
		var more uint64
		for _, w := range m.waiting {
			if w.number < c.more || w.number > p.cursor || w.conv != c.key.conv {
				continue
			}
			if len(items) == p.perConv {
				more = w.number
				break
			}
			items = append(items, item{number: w.number, dueMS: w.dueMS})
		}
		p.refill(c, items, more)
	}
	p.release(c)
}

// TestPlan takes random steps with a plan that is far too small for what waits: notices of a conversation are taken in order and one at a time, and in the end
// all were.
func TestPlan(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	m := &model{rng: rand.New(rand.NewPCG(seed, 0))}
	p := newPlan(4, 3)
	var busy []*conversation
	steps := func(puts bool) {
		for now := uint64(0); now < 20_000 && (puts || len(m.waiting) > 0); now++ {
			if puts && m.rng.IntN(3) > 0 && len(m.waiting) < 200 {
				m.put()
			}
			m.fill(p)
			take := p.next
			if m.rng.IntN(10) == 0 {
				take = func(uint64) *conversation { return p.oldest() }
			}
			if c := take(now); c != nil {
				if err := m.take(c); err != nil {
					t.Fatal(err)
				}
				busy = append(busy, c)
			}
			if len(busy) > 0 && m.rng.IntN(2) == 0 {
				i := m.rng.IntN(len(busy))
				c := busy[i]
				busy = slices.Delete(busy, i, i+1)
				m.end(p, c, 1+m.rng.IntN(len(c.items)), now)
			}
			if err := p.check(); err != nil {
				t.Fatal(err)
			}
		}
	}
	steps(true)
	steps(false)
	if len(m.waiting) > 0 {
		t.Errorf("%d of %d are left, %+v first", len(m.waiting), m.given, m.waiting[0])
	}
	if len(p.convs)+len(busy) > 0 || m.given < 1000 {
		t.Errorf("%d conversations are held and %d busy after %d notices", len(p.convs), len(busy), m.given)
	}
}

// TestPlanIsFair: what is tried again is not starved by what is new.
func TestPlanIsFair(t *testing.T) {
	p := newPlan(100, 3)
	p.add(frame.ID{1}, item{number: 1, dueMS: 100})
	c := p.next(100)
	p.again(c, 1, 200, 1)
	p.release(c)
	for i := uint64(2); i < 50; i++ {
		p.add(frame.ID{byte(i)}, item{number: i, dueMS: 190 + i*10})
	}
	if c := p.next(1000); c.key.conv != (frame.ID{1}) {
		t.Errorf("%v is first", c.key.conv)
	}
}

// TestWhatGoesWithTheOld: a digest whose first notification was tried often enough is given up only as far as that is so; each keeps count of its own attempts.
func TestWhatGoesWithTheOld(t *testing.T) {
	l := &lane{cfg: Endpoint{Name: "mail", Attempts: 3, RetryMin: time.Second, RetryMax: time.Hour}}
	attempt := func(f *failure, attempts ...int) outcome {
		p, batch := newPlan(1, planPerConv), []message{}
		for i, n := range attempts {
			p.add(frame.ID{1}, item{number: uint64(i + 1), attempts: n})
			batch = append(batch, message{notification: &Notification{}, body: []byte("{}")})
		}
		j := job{lane: l, conv: p.next(1)}
		j.items = j.conv.items
		o := outcome{conv: j.conv, items: j.items}
		for _, m := range batch {
			o.ended = append(o.ended, m.notification)
		}
		j.failed(&o, batch, f)
		return o
	}
	no := errors.New("no")
	if o := attempt(&failure{err: no}, 2, 0); o.verdict != dead || len(o.items) != 1 || len(o.ended) != 1 || len(o.letters) != 1 || o.letters[0].Attempts != 3 {
		t.Errorf("%+v", o)
	}
	if o := attempt(&failure{err: no, final: true}, 1, 0); o.verdict != dead || len(o.items) != 2 || len(o.ended) != 2 || o.letters[1].Attempts != 1 {
		t.Errorf("%+v", o)
	}
	o := attempt(&failure{err: no}, 1, 0)
	if s := settlementsOf([]outcome{o}); o.verdict != retried || len(s) != 2 || s[0].Attempts != 2 || s[1].Attempts != 1 || s[0].Done {
		t.Errorf("%+v makes %+v", o, s)
	}
}

func render1(t *testing.T, text, kind, data string) (string, error) {
	t.Helper()
	b, err := newBodyTemplate(text, kind)
	if err != nil {
		t.Fatal(err)
	}
	out, err := b.execute(&Notification{ID: "n1", Type: "message.missed", Time: time.Unix(0, 0).UTC(), Data: []byte(data)})
	return string(out), err
}

func TestTemplates(t *testing.T) {
	const hostile = `{"text":"a\"},\"to\":\"all\n<b>&","phone":"+49 1","n":12345678901234567890,"list":["x",1],"none":null,"trick":[",",":"]}`
	for _, c := range []struct{ text, kind, want string }{
		{`{"id":"{{.id}}","type":"{{.type}}"}`, typeJSON, `{"id":"n1","type":"message.missed"}`},
		{`{"text":"{{.data.text}}","n":{{.data.n}},"list":{{.data.list}},"none":{{.data.none}}}`, typeJSON,
			`{"text":"a\"},\"to\":\"all\n<b>&","n":12345678901234567890,"list":["x",1],"none":null}`},
		{`{"all":"{{range .data.list}}{{.}};{{else}}none{{end}}{{if .data.phone}}{{with .data.phone}} {{.}}{{end}}{{end}}"}`, typeJSON, `{"all":"x;1; +49 1"}`},
		{`{{define "x"}}{{.text}}{{end}}{"text":"{{template "x" .data}}"}`, typeJSON, `{"text":"a\"},\"to\":\"all\n<b>&"}`},
		{`{"text":"{{.data.list}}, {{.data.n}}, \"{{.data.trick}}\"","trick":{{.data.trick}}}`, typeJSON,
			`{"text":"[\"x\",1], 12345678901234567890, \"[\",\",\":\"]\"","trick":[",",":"]}`},
		{`{"text":"{{$x := .data.text}}{{$x}}"}`, typeJSON, `{"text":"a\"},\"to\":\"all\n<b>&"}`},
		{`to={{.data.phone}}&text={{.data.text}}&n={{.data.n}}`, typeForm, `to=%2B49+1&text=a%22%7D%2C%22to%22%3A%22all%0A%3Cb%3E%26&n=12345678901234567890`},
	} {
		got, err := render1(t, c.text, c.kind, hostile)
		if err != nil || got != c.want {
			t.Errorf("%s makes\n%s, %v, instead of\n%s", c.text, got, err, c.want)
		}
	}
}

// TestTemplatesAreStrict: what does not fit is final, and the error says what.
func TestTemplatesAreStrict(t *testing.T) {
	for text, cause := range map[string]string{
		`{"to":"{{.data.mobile}}"}`:                       "mobile",
		`{"to":{{.data.phone}}}`:                          "no JSON",
		`{{range .data.list}}{{template "loop"}}{{end}}x`: "loop",
		`{{printf "%1000000d" 1}}`:                        "too long",
	} {
		_, err := render1(t, text, typeJSON, `{"phone":"+49 1","list":[1]}`)
		if f := (*failure)(nil); !errors.As(err, &f) || !f.final || !strings.Contains(err.Error(), cause) {
			t.Errorf("%s: %v", text, err)
		}
	}
	for _, text := range []string{"{{.x", `"{{.x | _escape}}"`} {
		if _, err := newBodyTemplate(text, typeJSON); err == nil {
			t.Errorf("%s is taken", text)
		}
	}
}
