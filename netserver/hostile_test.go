package netserver

import (
	"bytes"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"github.com/switchyard-im/switchyard/frame"
)

// The tests of this file are run with many connections and real seconds by "make hostile".
var (
	hostileConns = flag.Int("hostile.conns", 1000, "connections that trickle")
	hostileTick  = flag.Duration("hostile.tick", 50*time.Millisecond, "the tick of the server, and the time between two bytes that trickle")
)

// hostileTicks is the deadline of the trickling connections in ticks.
const hostileTicks = 20

// TestTrickle has many connections send a byte a tick, of an upgrade request or of a message of 60 KB, from a process of its own because of the
// descriptors. What the server holds for them stays what came, they are told and closed at their deadline, everything is given back, and
// meanwhile others are served.
func TestTrickle(t *testing.T) {
	for _, tc := range []struct {
		name   string
		reason Reason
		each   int // bytes that may be held for one
	}{
		{"request", ReasonHandshakeTimeout, smallestBuffer},
		{"message", ReasonMessageTimeout, smallestBuffer},
	} {
		t.Run(tc.name, func(t *testing.T) {
			deadline := hostileTicks * *hostileTick
			s := serve(t, Config{Raw: true, tick: *hostileTick, HandshakeTimeout: deadline, MessageTimeout: deadline, PingAfter: time.Hour, CloseAfter: 2 * time.Hour}, Echo{})
			polite := []*client{open(t, s), open(t, s)}
			for _, c := range polite {
				c.patient()
			}
			before := heapInUse()
			child := trickler(t, s, tc.name)
			var most, heap, echoes int
			var worst time.Duration
			for child.running() {
				for _, c := range polite {
					begin := time.Now()
					c.send(text("still served"))
					c.expect(ws.OpText, "still served")
					worst = max(worst, time.Since(begin))
					echoes++
				}
				onLoop(t, s.loops[0], func() { most = max(most, s.loops[0].pool.held) })
				time.Sleep(*hostileTick / 10)
			}
			child.wait(t)
			if heap = heapInUse() - before; most > *hostileConns*tc.each {
				t.Errorf("%d bytes were held, for %d connections", most, *hostileConns)
			}
			if heap > 4<<20+*hostileConns<<10 {
				t.Errorf("%d bytes of heap are not given back", heap)
			}
			t.Logf("%d connections: %d KiB held at most, %d echoes, the slowest in %v; %d KiB of heap more afterwards", *hostileConns, most>>10, echoes, worst, heap>>10)
			eventually(t, "only the polite ones are left", func() (ok bool) {
				onLoop(t, s.loops[0], func() {
					l := s.loops[0]
					ok = l.live == len(polite) && l.pool.held == 0 && l.n.closed[tc.reason] == uint64(*hostileConns)
				})
				return ok
			})
		})
	}
}

// heapInUse is what the heap holds after a collection, in bytes.
func heapInUse() int {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapInuse)
}

// process is a client process.
type process struct {
	out  bytes.Buffer
	done chan struct{}
	err  error
}

// trickler starts TestTrickleClient in a process of its own.
func trickler(t *testing.T, s *Server, what string) *process {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestTrickleClient$", "-hostile.conns", strconv.Itoa(*hostileConns), "-hostile.tick", hostileTick.String())
	cmd.Env = append(os.Environ(), "NETSERVER_TEST_ADDR="+s.Addr().String(), "NETSERVER_TEST_TRICKLE="+what)
	p := &process{done: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = &p.out, &p.out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { p.err = cmd.Wait(); close(p.done) }() // ends with the process, which has deadlines
	return p
}

func (p *process) running() bool {
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

func (p *process) wait(t *testing.T) {
	t.Helper()
	if <-p.done; p.err != nil {
		t.Fatalf("%v: %s", p.err, p.out.String())
	}
}

// TestTrickleClient is the client process of TestTrickle and does nothing by itself.
func TestTrickleClient(t *testing.T) {
	address, what := os.Getenv("NETSERVER_TEST_ADDR"), os.Getenv("NETSERVER_TEST_TRICKLE")
	if address == "" {
		return
	}
	bytesOf := []byte(upgradeRequest("/ws", "X-Slow: "+strings.Repeat("s", 400)))
	if what == "message" {
		bytesOf = binaryOf(strings.Repeat("m", 60_000))
	}
	conns := make([]*client, *hostileConns)
	for i := range conns {
		conns[i] = dialAddress(t, address, byte(2+i%100))
		conns[i].patient()
		if what == "message" {
			conns[i].send([]byte(upgradeRequest("/ws")))
			conns[i].readHead()
		}
	}
	for n := range hostileTicks + 5 {
		begin := time.Now()
		for _, c := range conns {
			_, _ = c.Write(bytesOf[n : n+1]) // fails once the server has had enough
		}
		time.Sleep(time.Until(begin.Add(*hostileTick)))
	}
	for i, c := range conns {
		if err := c.told(what); err != nil {
			t.Fatalf("connection %d: %v", i, err)
		}
	}
}

// patient gives a client the time of the whole test.
func (c *client) patient() {
	if err := c.SetDeadline(time.Now().Add(patience + 3*hostileTicks**hostileTick)); err != nil {
		c.t.Fatal(err)
	}
}

// told reads up to the end and wants the answer of a deadline.
func (c *client) told(what string) error {
	b, err := io.ReadAll(c.r)
	want := []byte("HTTP/1.1 408 ")
	if what == "message" {
		want = binary.BigEndian.AppendUint16([]byte{0x88, 2 + byte(len("a message did not arrive whole in time"))}, frame.CloseMessageTimeout)
	}
	if !bytes.HasPrefix(b, want) || err != nil && !errors.Is(err, syscall.ECONNRESET) {
		return fmt.Errorf("read %q, %v", b, err)
	}
	return nil
}

// TestStalledReaders has a hundred clients stop reading, while everything that a hundred others say is delivered to all. What waits for the
// stalled ones is bounded, each is closed with its code or cut off within the write timeout, and the others lose nothing.
func TestStalledReaders(t *testing.T) {
	const stalled, others, rounds, size, hard = 100, 100, 60, 16 << 10, 128 << 10
	s, o, reasons := watched(t, quick(Config{OutSoft: hard / 2, OutHard: hard, WriteTimeout: 2 * time.Second}))
	ids, active := make([]frame.ConnID, 0, stalled+others), make([]*client, 0, others)
	for range stalled {
		open(t, s)
		ids = append(ids, o.next(t))
	}
	for range others {
		active = append(active, open(t, s))
		ids = append(ids, o.next(t))
	}
	owner, got, most := new(parcelOwner), make(chan bool, others), 0
	for _, c := range active {
		go readAllOf(c, rounds, size, got) // ends after the last round, which the test waits for
	}
	for n := range rounds {
		s.Deliver(0, parcelFor(owner, binary.BigEndian.AppendUint32(make([]byte, size-4), uint32(n)), ids...))
		for range others {
			if !<-got {
				t.FailNow()
			}
		}
		onLoop(t, s.loops[0], func() { most = max(most, s.loops[0].pool.held) })
	}
	closedFor := map[Reason]int{}
	for range stalled {
		select {
		case r := <-reasons:
			closedFor[r]++
		case <-time.After(patience):
			t.Fatalf("closed so far: %v", closedFor)
		}
	}
	if closedFor[ReasonSlowConsumer]+closedFor[ReasonWriteTimeout] != stalled {
		t.Errorf("closed for %v", closedFor)
	}
	t.Logf("%d stalled: %d KiB held at most, closed for %v", stalled, most>>10, closedFor)
	if bound := stalled * 2 * (hard + size); most > bound || most < stalled*size { // a buffer is at most twice what it holds
		t.Errorf("%d bytes were held at most, the bound is %d", most, bound)
	}
	eventually(t, "the stalled ones are gone and nothing is held", func() (ok bool) {
		onLoop(t, s.loops[0], func() { ok = s.loops[0].live == others && s.loops[0].pool.held == 0 })
		return ok
	})
}

// readAllOf reads numbered deliveries and tells of each that it is the next one.
func readAllOf(c *client, rounds, size int, got chan<- bool) {
	for n := 0; n < rounds; {
		//lint:ignore SA1019 the peer is this test's server, so the length it declares can be trusted
		f, err := ws.ReadFrame(c.r)
		for p := f.Payload; len(p) > 0 || err != nil; p = p[size:] {
			if err != nil || binary.BigEndian.Uint32(p[size-4:]) != uint32(n) {
				c.t.Errorf("delivery %d did not come: %v", n, err)
				got <- false
				return
			}
			n++
			got <- true
		}
	}
}
