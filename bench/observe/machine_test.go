package observe

import (
	"bufio"
	"context"
	"net"
	"os"
	"strings"
	"testing"
)

func TestTheKernelsTables(t *testing.T) {
	m := parseMeminfo("MemTotal:       24000000 kB\nMemAvailable:   1000 kB\nHugePages_Total:       0\nSlab:  5 kB\n")
	if m["MemAvailable"] != 1000<<10 || m["Slab"] != 5<<10 || len(m) != 3 {
		t.Error(m)
	}
	if n := parseSockstat("sockets: used 33\nTCP: inuse 17 orphan 3 tw 12023 alloc 17 mem 2235\nUDP: inuse 0 mem 7\n"); n != 2235 {
		t.Error(n)
	}
	caches := parseSlabinfo("slabinfo - version: 2.1\n# name            <active_objs> <num_objs>\n" +
		"TCP  125    221   2368   13    8 : tunables    0    0    0 : slabdata     17     17      0\n")
	if want := int64(17 * 8 * os.Getpagesize()); caches["TCP"] != want || len(caches) != 1 {
		t.Error(caches)
	}
	tcp := "  sl  local_address rem_address   st\n   0: 0100007F:1F90 00000000:0000 0A 0\n   1: 0100007F:1F90 00000000:0000 0A 0\n" +
		"   2: 0100007F:1F91 00000000:0000 0A 0\n   3: 0100007F:1F90 0100007F:9999 01 0\n"
	if n := countListeners(bufio.NewScanner(strings.NewReader(tcp)), 8080); n != 2 {
		t.Error(n)
	}
}

func TestThisMachine(t *testing.T) {
	k, err := ReadKernel()
	if err != nil || k.Available == 0 || k.Slab == 0 {
		t.Errorf("%+v, %v", k, err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := uint16(l.Addr().(*net.TCPAddr).Port)
	if n, err := Listeners(port); n != 1 || err != nil {
		t.Error(n, err)
	}
	l.Close()
	if n, err := Listeners(port); n != 0 || err != nil {
		t.Error(n, err)
	}
	var u Usage
	for range 2 {
		if err := u.Add(context.Background(), os.Getpid()); err != nil {
			t.Fatal(err)
		}
	}
	if one, _ := New(os.Getpid(), "").Read(context.Background()); u.RSSBytes < one.RSSBytes*3/2 {
		t.Error("two processes use little more than one", u, one)
	}
	if err := u.Add(context.Background(), 1<<30); err == nil {
		t.Error("no process 1<<30 was found")
	}
}
