package frame

// Limits of the protocol. Parse applies those of single fields, Next and FromJSON those of structure; the caller applies
// MaxFrames and the size of a message, because only it sees the whole.
const (
	MaxFrames  = 1024     // frames in one batch
	MaxMessage = 64 << 10 // bytes of one WebSocket message, unless the server's configuration and Welcome say otherwise
	MaxDepth   = 16       // arrays and maps inside one another, the frame's own array included
	MaxName    = 128      // bytes of a user, group or role name and of the client software's name
	MaxSignal  = 32       // bytes of a signal's name
	MaxToken   = 4096     // bytes of a token
	MaxText    = 1024     // bytes of an error's text
	MaxTarget  = 256      // bytes of a drain's target
	MaxComment = 1024     // bytes of the comment of a rating

	DefaultHistory = 50  // messages of a page if History.Limit is 0
	MaxHistory     = 200 // messages of a page

	// pageDepth is how much deeper a page nests than the messages in it: the page's array and the list.
	pageDepth = 2
)

// A sequence is epoch<<SequenceBits | n: n counts a conversation's messages from 1 without holes, the epoch grows when the
// conversation changes its owner. It fits the 53 bits that a JavaScript number holds exactly.
const (
	SequenceBits = 37
	MaxSequence  = 1<<53 - 1
)

// Sequence makes a sequence of its parts: epoch below 1<<16, n below 1<<SequenceBits.
func Sequence(epoch, n uint64) uint64 { return epoch<<SequenceBits | n }

// SequenceEpoch returns the epoch of a sequence.
func SequenceEpoch(seq uint64) uint64 { return seq >> SequenceBits }

// SequenceNumber returns the count within the epoch.
func SequenceNumber(seq uint64) uint64 { return seq & (1<<SequenceBits - 1) }
