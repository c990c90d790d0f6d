package memory

import (
	"bytes"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// TestRelease: the pages within are given back and read as zero; what shares a page with others keeps its contents.
func TestRelease(t *testing.T) {
	page := os.Getpagesize()
	all, err := unix.Mmap(-1, 0, 8*page, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Munmap(all)
	for _, tc := range []struct{ from, to, first, last int }{
		{0, 8 * page, 0, 8},
		{1, 8*page - 1, 1, 7},
		{page - 1, 2*page + 1, 1, 2},
		{page + 1, 2 * page, 2, 2},
		{page + 1, 3*page - 1, 2, 2},
		{5, 5, 0, 0},
	} {
		copy(all, bytes.Repeat([]byte{7}, len(all)))
		Release(all[tc.from:tc.to])
		for i := range 8 {
			want := byte(7)
			if i >= tc.first && i < tc.last {
				want = 0
			}
			if in := all[i*page : (i+1)*page]; !bytes.Equal(in, bytes.Repeat([]byte{want}, page)) {
				t.Errorf("bytes %d to %d: page %d is not all %d", tc.from, tc.to, i, want)
			}
		}
	}
	Release(nil)
}
