package history

// Range, Entry, Gap and Backlog are those of the outbox.
type (
	Range struct{ First, Last uint64 }
	Entry struct {
		Number uint64
		TimeMS uint64
		Rows   int
		Frames []byte
		Gap    *Gap
	}
	Gap struct {
		Rows         uint64
		FromMS, ToMS uint64
	}
	Backlog struct {
		Entries, Rows uint64
		Bytes         uint64
		OldestMS      uint64
	}
)
