package sink

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"math/bits"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// errDamagedJournal is what opening ends with if starting would silently drop acknowledged transactions.
var errDamagedJournal = errors.New("the journal is damaged in the middle")

// maxPipelineDepth bounds Config.PipelineDepth, and so how many records of the journal were not yet synced at a crash.
const maxPipelineDepth = 8

// A file of the journal is a row of chunks, which Pebble writes so:
//
//	checksum 4 | length 2 | kind 1 | log number 4 | synced offset 8 | payload       all little endian
//
// The checksum covers what follows the length. No chunk crosses the border of a block; the rest of a block that is too short for
// a header is zero. A file may be used again, so chunks with another number may follow the last one.
const (
	chunkHeader = 19
	chunkBlock  = 32 << 10

	chunkFull = 9  // the payload is a whole record
	chunkLast = 12 // its last part; 10 and 11 are the first and the middle
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// chunk is one that stands at some offset, or seems to.
type chunk struct {
	kind   byte
	size   int64 // header and payload
	synced uint64
	valid  bool // the checksum is right
}

// parseChunk reads the chunk at the start of b, which is what is left of a block. ok is false if no chunk of this log can stand there.
func parseChunk(b []byte, num uint32) (c chunk, ok bool) {
	if len(b) < chunkHeader || b[6] < chunkFull || b[6] > chunkLast || binary.LittleEndian.Uint32(b[7:]) != num {
		return chunk{}, false
	}
	c = chunk{kind: b[6], size: chunkHeader + int64(binary.LittleEndian.Uint16(b[4:])), synced: binary.LittleEndian.Uint64(b[11:])}
	if c.size <= int64(len(b)) {
		c.valid = binary.LittleEndian.Uint32(b) == chunkSum(b[6:c.size])
	}
	return c, true
}

// chunkSum is the checksum of LevelDB: a CRC that is rotated and shifted, so that it does not stand for data that holds CRCs.
func chunkSum(b []byte) uint32 {
	return bits.RotateLeft32(crc32.Checksum(b, castagnoli), -15) + 0xa282ead8
}

// inspectTail judges a file of the journal that cannot be read on from offset. What stands there is either the tail of a write that a
// crash cut short, which was never acknowledged; torn is its length. Or it was complete once and is damaged now; then
// starting would lose what follows, which was acknowledged.
//
// Pebble decides the same question, but it does not look into the rest of the damaged block, and the synced offset that it relies on
// leaves out full blocks, so it takes much damage for a tail. Here it is damage if a later chunk says that the disk had
// more than offset when it was written, or if more whole records follow than can have been in flight. Chunks are found by following
// their lengths, and from the start of the next block where that fails; a search byte by byte could be fooled by a message that
// contains chunks.
func inspectTail(fs vfs.FS, name string, num uint32, offset int64) (torn int64, damaged bool, err error) {
	f, err := fs.Open(name)
	if err != nil {
		return 0, false, err
	}
	defer f.Close()
	t := tailWalk{num: num, start: offset}
	block := make([]byte, chunkBlock)
	for at := offset - offset%chunkBlock; !t.damaged; at += chunkBlock {
		n, err := f.ReadAt(block, at)
		if n == 0 || err != nil && err != io.EOF {
			if err == io.EOF {
				err = nil
			}
			return t.torn, false, err
		}
		t.block(block[:n], at)
	}
	return t.torn, t.damaged, nil
}

// tailWalk follows the chunks from start.
type tailWalk struct {
	num     uint32
	start   int64
	broken  bool  // the row of chunks from start has ended
	torn    int64 // length of that row
	whole   int   // records that end after start and are intact
	damaged bool
}

// block follows the chunks of one block, which begins at offset at of the file.
func (t *tailWalk) block(b []byte, at int64) {
	i := max(t.start-at, 0)
	for int64(len(b))-i >= chunkHeader {
		c, ok := parseChunk(b[i:], t.num)
		if !ok {
			t.broken = true
			return
		}
		t.chunk(c, min(c.size, int64(len(b))-i))
		i += c.size
		if i > int64(len(b)) {
			return
		}
	}
	if len(b) < chunkBlock && !t.broken { // the file ends within a header
		t.torn += int64(len(b)) - i
	}
}

func (t *tailWalk) chunk(c chunk, present int64) {
	if !t.broken {
		t.torn += present
	}
	if !c.valid {
		return
	}
	if c.kind == chunkFull || c.kind == chunkLast {
		t.whole++
	}
	t.damaged = t.damaged || c.synced > uint64(t.start) || t.whole > maxPipelineDepth
}
