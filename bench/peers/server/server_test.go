package server

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"
)

// TestEveryPeerEchoes sends each server 16 messages in one write and wants them back whole, in order and unmasked; a server that only copies
// bytes would not do.
func TestEveryPeerEchoes(t *testing.T) {
	for _, p := range All {
		t.Run(p.Name, func(t *testing.T) {
			url := serve(t, p)
			c, _, _, err := ws.Dial(t.Context(), url)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			for _, size := range []int{8, 128, 1024, 70_000} {
				echo16(t, c, size)
			}
		})
	}
}

// serve runs a peer until the test process ends, as its own process would.
func serve(t *testing.T, p Peer) (url string) {
	t.Helper()
	l, err := Listen(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		if err := p.Serve(l); err != nil {
			panic(fmt.Sprintf("%s: %v", p.Name, err))
		}
	}()
	return "ws://" + l.Addr().String() + "/"
}

func echo16(t *testing.T, c net.Conn, size int) {
	t.Helper()
	var all bytes.Buffer
	message := func(n int) []byte { return bytes.Repeat([]byte{byte('a' + n)}, size) }
	for n := range 16 {
		if err := wsutil.WriteClientBinary(&all, message(n)); err != nil {
			t.Fatal(err)
		}
	}
	written := make(chan error, 1)
	go func() { // ends when the server has read everything, or with the connection
		_, err := c.Write(all.Bytes())
		written <- err
	}()
	for n := range 16 {
		got, op, err := wsutil.ReadServerData(c)
		if err != nil || op != ws.OpBinary || !bytes.Equal(got, message(n)) {
			t.Fatalf("%d bytes, message %d: opcode %d, %d bytes, %v", size, n, op, len(got), err)
		}
	}
	if err := <-written; err != nil {
		t.Fatal(err)
	}
}

func TestAdmin(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go ServeAdmin(l) // ends with the listener
	defer l.Close()
	base := "http://" + l.Addr().String()
	if r, err := http.Post(base+"/debug/collect", "", nil); err != nil || r.StatusCode != http.StatusNoContent {
		t.Error(r, err)
	}
	r, err := http.Get(base + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"go_memstats_heap_alloc_bytes ", "go_memstats_heap_objects "} {
		if !strings.Contains(string(body), name) {
			t.Errorf("no %s in %s", name, body)
		}
	}
}
