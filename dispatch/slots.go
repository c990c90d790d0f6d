package dispatch

import (
	"encoding/binary"
	"hash/maphash"

	"github.com/switchyard-im/switchyard/dispatch/core"
	"github.com/switchyard-im/switchyard/frame"
)

// slots is the number of logical shards. It never changes: in a cluster each slot has one owner at a time.
const slots = 1024

// slotOf returns the slot of a conversation. Ids are uniform already (a MAC), so their bytes are the hash; it is the same on every node.
func slotOf(conv frame.ID) int { return int(binary.LittleEndian.Uint64(conv[:8]) % slots) }

// userSeed spreads users over runners; it need not be the same after a restart, since users are only in memory.
var userSeed = maphash.MakeSeed()

func slotOfUser(key core.UserKey) int {
	return int(maphash.Comparable(userSeed, key) % slots)
}
