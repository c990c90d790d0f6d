package memory

import (
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Release gives the pages that lie wholly within b back to the system. They come back, zero, when they are touched. Nobody else may use b
// meanwhile, and what it held is lost, in part or as a whole.
//
// It is for memory that the next burst needs again. Freeing that instead and allocating it then would keep it resident, because Go zeroes
// what it gives out a second time.
func Release(b []byte) {
	page := uintptr(os.Getpagesize())
	begin := uintptr(unsafe.Pointer(unsafe.SliceData(b)))
	first := (begin + page - 1) / page * page
	last := (begin + uintptr(len(b))) / page * page
	if first < last {
		_ = unix.Madvise(b[first-begin:last-begin], unix.MADV_DONTNEED) // pages that are locked stay, which does no harm
	}
}
