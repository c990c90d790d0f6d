package page

import (
	"bufio"
	"context"
	"html"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/switchyard-im/switchyard/bench/record"
)

// opened is what Chromium made of a page.
type opened struct {
	dom      string
	console  []string // errors and whatever else a page writes there
	requests []string // that left it: the first lines, as its proxy saw them
}

// chromium opens a page in a real browser with a profile of its own, whose every request goes to a proxy that answers none.
func chromium(t *testing.T, page string) opened {
	t.Helper()
	program, err := exec.LookPath("chromium")
	if err != nil {
		t.Fatalf("%v; .ci/deps installs it", err)
	}
	dir := t.TempDir()
	file := filepath.Join(dir, "page.html")
	if err := os.WriteFile(file, []byte(page), 0o600); err != nil {
		t.Fatal(err)
	}
	proxy := listen(t)
	ctx, stop := context.WithTimeout(t.Context(), 2*time.Minute)
	defer stop()
	cmd := exec.CommandContext(ctx, program, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--disable-background-networking", "--disable-component-update",
		"--disable-default-apps", "--disable-sync", "--disable-extensions", "--user-data-dir="+filepath.Join(dir, "profile"), "--proxy-server=http://"+proxy.address(), "--proxy-bypass-list=<-loopback>",
		"--enable-logging=stderr", "--window-size=1280,900", "--dump-dom", "file://"+file)
	cmd.Env = append(os.Environ(), "HOME="+dir)
	var out, errOut strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &errOut
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v\n%s", err, errOut.String())
	}
	o := opened{dom: out.String(), requests: proxy.close()}
	for line := range strings.Lines(errOut.String()) {
		if strings.Contains(line, "CONSOLE") {
			o.console = append(o.console, strings.TrimSpace(line))
		}
	}
	return o
}

// ofBrowser are requests that Chromium makes by itself, whatever it shows: for the time, for updates.
var ofBrowser = regexp.MustCompile(`^[A-Z]+ (http://)?[a-z0-9.]*\.(google|googleapis|gvt1)\.com[:/]`)

// proxy notes the first line of each request that a page makes, and hangs up.
type proxy struct {
	listener net.Listener
	done     sync.WaitGroup

	mu    sync.Mutex
	lines []string // guarded by mu
}

func listen(t *testing.T) *proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{listener: l}
	p.done.Go(func() { // until close
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			p.done.Go(func() { p.serve(conn) })
		}
	})
	return p
}

func (p *proxy) serve(conn net.Conn) {
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	if line, err := bufio.NewReader(conn).ReadString('\n'); err == nil && !ofBrowser.MatchString(line) {
		p.mu.Lock()
		p.lines = append(p.lines, strings.TrimSpace(line))
		p.mu.Unlock()
	}
}

func (p *proxy) address() string { return p.listener.Addr().String() }

// close returns what was asked for. The browser has ended by then.
func (p *proxy) close() []string {
	p.listener.Close()
	p.done.Wait()
	return p.lines
}

// hovering moves a pointer over the middle of each chart and keeps what the page tells there.
const hovering = `<script>
for (const svg of document.querySelectorAll("svg[data-chart]")) {
	const box = svg.getBoundingClientRect();
	svg.dispatchEvent(new PointerEvent("pointermove", { clientX: box.left + box.width * 0.6, clientY: box.top + 50 }));
	const told = document.createElement("pre");
	told.className = "told";
	told.textContent = document.getElementById("tip").style.display + " " + document.getElementById("tip").textContent + " " + svg.querySelectorAll("circle").length;
	document.body.append(told);
}
</script></body>`

func withPointer(page string) string { return strings.Replace(page, "</body>", hovering, 1) }

var (
	told  = regexp.MustCompile(`<pre class="told">([^<]*)</pre>`)
	paths = regexp.MustCompile(`<path class="series[^>]*d="M[^"]+"`)
)

func TestARunInChromium(t *testing.T) {
	t.Parallel()
	page := withPointer(written(t, made(30, "")))
	o := chromium(t, page)
	check(t, o, page)
	texts := told.FindAllStringSubmatch(o.dom, -1)
	for i, want := range []string{"block p9", "block 17.0 s"} {
		if i >= len(texts) || !strings.HasPrefix(texts[i][1], want) {
			t.Errorf("chart %d tells %q, want %q", i, texts, want)
		}
	}
	if text := html.UnescapeString(o.dom); !strings.Contains(text, hostile) {
		t.Error("the text that had to be escaped is not there as text")
	}
}

func TestAComparisonInChromium(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	if err := Compare(&b, []record.Named{{Name: "a", Run: made(30, "")}, {Name: "b" + hostile, Run: made(20, "x", "y")}, {Name: "c", Run: made(5, "")}}); err != nil {
		t.Fatal(err)
	}
	page := withPointer(b.String())
	check(t, chromium(t, page), page)
}

// check asks what every page must do: stay silent, ask for nothing, draw all that it was written with, and tell values under a pointer.
func check(t *testing.T, o opened, page string) {
	t.Helper()
	if len(o.console) > 0 || len(o.requests) > 0 {
		t.Errorf("console: %q\nrequests: %q", o.console, o.requests)
	}
	if got, want := len(paths.FindAllString(o.dom, -1)), len(paths.FindAllString(page, -1)); got != want || got < 10 {
		t.Errorf("%d lines are drawn, %d were written", got, want)
	}
	texts := told.FindAllStringSubmatch(o.dom, -1)
	if len(texts) != len(charts.FindAllString(page, -1)) || len(texts) < 5 {
		t.Errorf("%d charts tell something", len(texts))
	}
	for i, text := range texts {
		if !strings.HasPrefix(text[1], "block ") || strings.HasSuffix(text[1], " 0") || strings.Contains(text[1], "NaN") {
			t.Errorf("chart %d tells %q", i, text[1])
		}
	}
}

// TestThatChromiumTells: errors and requests would be seen if a page had some.
func TestThatChromiumTells(t *testing.T) {
	t.Parallel()
	o := chromium(t, `<!doctype html><body><img src="http://bench.test/x.png"><script>nonsense()</script></body>`)
	if len(o.console) == 0 || len(o.requests) == 0 || !strings.Contains(o.requests[0], "bench.test") {
		t.Errorf("console: %q\nrequests: %q", o.console, o.requests)
	}
}
