package netserver

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/gobwas/ws"
)

// largeCase is messages of the same size, each in fragments of at most the given size, sent in pieces of the given size. 0: whole.
type largeCase struct {
	number                      string
	op                          ws.OpCode
	messages, size, frag, piece int
}

// largeCases are section 9, where the suite takes times, and section 10.
func largeCases() (all []largeCase) {
	const kib, mib = 1 << 10, 1 << 20
	add := func(section, i int, c largeCase) {
		c.number = fmt.Sprintf("9.%d.%d", section+i%2, i/2+1)
		c.op = []ws.OpCode{ws.OpText, ws.OpBinary}[i%2]
		all = append(all, c)
	}
	for i := range 12 {
		add(1, i, largeCase{messages: 1, size: []int{64 * kib, 256 * kib, mib, 4 * mib, 8 * mib, 16 * mib}[i/2]})
	}
	for i := range 18 {
		add(3, i, largeCase{messages: 1, size: 4 * mib, frag: 64 << (2 * (i / 2))})
	}
	for i := range 12 {
		add(5, i, largeCase{messages: 1, size: mib, piece: 64 << (i / 2)})
	}
	for i := range 12 {
		add(7, i, largeCase{messages: 1000, size: []int{0, 16, 64, 256, kib, 4 * kib}[i/2]})
	}
	return append(all, largeCase{"10.1.1", ws.OpText, 1, 65536, 1300, 0})
}

// TestLargeMessages sends and receives at the same time, on a server with the limits of "switchyard echo".
func TestLargeMessages(t *testing.T) {
	const limit = 16 << 20
	s := serve(t, Config{Raw: true, MaxMessage: limit, MaxMerge: limit, OutSoft: 4 * limit, OutHard: 4 * limit}, Echo{})
	cases := largeCases()
	if len(cases) != 55 {
		t.Errorf("%d cases, want 54 of section 9 and one of section 10", len(cases))
	}
	for _, tc := range cases {
		t.Run(fmt.Sprintf("%s %d of %d bytes", tc.number, tc.messages, tc.size), func(t *testing.T) { tc.run(t, s) })
	}
}

func (tc *largeCase) run(t *testing.T, s *Server) {
	c := open(t, s)
	defer c.Close()
	payload := strings.Repeat("BAsd7&jh23", tc.size/10+1)[:tc.size]
	message := tc.encode(payload)
	piece := tc.piece
	if piece == 0 {
		piece = 1 << 30
	}
	sent := make(chan error, 1)
	go func() { // ends with the connection
		var err error
		for range tc.messages {
			for p := range slices.Chunk(message, piece) {
				if err == nil {
					_, err = c.Write(p)
				}
			}
		}
		sent <- err
	}()
	for range tc.messages {
		c.expect(tc.op, payload)
	}
	if err := <-sent; err != nil {
		t.Fatal(err)
	}
	c.expectAlive()
	c.send(closing(closeBody(1000, "")))
	c.expectClose(1000)
}

func (tc *largeCase) encode(payload string) []byte {
	if tc.frag == 0 || tc.frag >= len(payload) {
		return masked(tc.op, true, payload)
	}
	var parts []string
	for p := range slices.Chunk([]byte(payload), tc.frag) {
		parts = append(parts, string(p))
	}
	return fragments(tc.op, parts...)
}
