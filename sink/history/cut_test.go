package history_test

import (
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/switchyard-im/switchyard/sink/history"
)

// cutProxy passes connections on to a server. Once armed it lets the server's side of a connection get a large request, and when the first answer
// to it comes, or earlier if it is told to, it closes the connection instead: the client does not learn how its insert ended.
type cutProxy struct {
	listener net.Listener
	server   string
	early    time.Duration // cut so long after the request, without awaiting the answer; 0 awaits it
	wait     sync.WaitGroup

	mu    sync.Mutex
	armed int // connections to cut; guarded by mu, as all below
	cut   int
	conns []net.Conn
}

// largeRequest is more than an insert takes to prepare, and less than its rows.
const largeRequest = 20_000

func newCutProxy(t testing.TB, server string, early time.Duration) *cutProxy {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &cutProxy{listener: l, server: server, early: early}
	p.wait.Go(p.accept) // until the listener is closed
	t.Cleanup(func() {
		l.Close()
		p.mu.Lock()
		for _, c := range p.conns {
			c.Close()
		}
		p.mu.Unlock()
		p.wait.Wait()
	})
	return p
}

func (p *cutProxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", p.server)
		if err != nil {
			client.Close()
			continue
		}
		p.mu.Lock()
		p.conns = append(p.conns, client, server)
		p.mu.Unlock()
		c := &cutConn{proxy: p, client: client, server: server}
		p.wait.Go(c.up) // both until either side is closed
		p.wait.Go(c.down)
	}
}

// cutConn is one connection through the proxy.
type cutConn struct {
	proxy          *cutProxy
	client, server net.Conn

	mu   sync.Mutex
	sent int // bytes from the client since the server last answered; guarded by mu
}

func (c *cutConn) up() {
	defer c.server.Close()
	buf := make([]byte, 64<<10)
	for {
		n, err := c.client.Read(buf)
		c.mu.Lock()
		c.sent += n
		large := c.sent > largeRequest
		c.mu.Unlock()
		if large && c.proxy.early > 0 && c.proxy.takeCut() {
			time.AfterFunc(c.proxy.early, func() { c.client.Close() }) // the rest of the request still passes
		}
		if _, e := c.server.Write(buf[:n]); err != nil || e != nil {
			return
		}
	}
}

func (c *cutConn) down() {
	defer c.client.Close()
	buf := make([]byte, 64<<10)
	for {
		n, err := c.server.Read(buf)
		if err != nil && err != io.EOF || n == 0 {
			return
		}
		c.mu.Lock()
		large := c.sent > largeRequest
		c.sent = 0
		c.mu.Unlock()
		if large && c.proxy.early == 0 && c.proxy.takeCut() {
			return
		}
		if _, err := c.client.Write(buf[:n]); err != nil {
			return
		}
	}
}

// takeCut tells whether a connection is to be cut.
func (p *cutProxy) takeCut() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.armed == 0 {
		return false
	}
	p.armed--
	p.cut++
	return true
}

func (p *cutProxy) cuts() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.cut
}

// shipThroughCuts ships a thousand messages through a proxy that cuts so many connections under an insert: see cutProxy.
func shipThroughCuts(t *testing.T, c *history.Client, cfg history.Config, early time.Duration, cuts int) {
	t.Helper()
	exec(t, c.Reads(), "SYSTEM STOP MERGES messages") // so that a second copy would be seen
	proxy := newCutProxy(t, cfg.Addresses[0], early)
	proxy.armed = cuts
	cfg.Addresses = []string{proxy.listener.Addr().String()}
	cfg.Migrate = false
	feed := &memoryFeed{}
	for _, frames := range benchEntries(10) {
		feed.putEntry(history.Entry{Rows: 100, Frames: frames})
	}
	run(t, open(t, cfg), feed)
	shipped(t, feed)
	if proxy.cuts() != cuts {
		t.Fatalf("%d connections were cut, want %d", proxy.cuts(), cuts)
	}
}

func thousandOnce(t *testing.T, c *history.Client) {
	t.Helper()
	if raw, distinct := raw(t, c), distinct(t, c); raw != 1000 || distinct != 1000 {
		t.Errorf("%d rows, %d messages; want 1,000 of each", raw, distinct)
	}
}

// TestAnswerThatIsLost: the rows are inserted and the connection breaks before the answer, several times. The insert is repeated under its token and
// does nothing then.
func TestAnswerThatIsLost(t *testing.T) {
	cfg := shipping(t)
	c := migrated(t, cfg)
	shipThroughCuts(t, c, cfg, 0, 3)
	thousandOnce(t, c)
}

// TestInsertThatGoesOn: the connection breaks while ClickHouse is still inserting what came over it. That insert is awaited, not repeated beside it: it would
// not be seen by whoever asks for its rows, and both would put them into the table.
func TestInsertThatGoesOn(t *testing.T) {
	cfg := shipping(t)
	c := migrated(t, cfg)
	exec(t, c.Reads(), "ALTER TABLE messages ADD CONSTRAINT slow CHECK sleep(0.5) = 0")
	shipThroughCuts(t, c, cfg, 100*time.Millisecond, 1)
	for count(t, c, "SELECT count() FROM system.processes WHERE query_kind = 'Insert' AND current_database = currentDatabase()") > 0 {
		time.Sleep(10 * time.Millisecond)
	}
	thousandOnce(t, c)
}
