package frame

import "sync/atomic"

// ConnID addresses a connection of any node: node 10 bits | loop 6 | slot 24 | generation 24, from the top. A slot that is used
// again has another generation, so what is sent to a closed connection reaches nobody. Zero is no connection.
type ConnID uint64

// MakeConnID packs the parts; each must fit its bits.
func MakeConnID(node, loop, slot, generation int) ConnID {
	return ConnID(uint64(node)<<54 | uint64(loop)<<48 | uint64(slot)<<24 | uint64(generation))
}

// Node, Loop, Slot and Generation unpack the address.
func (c ConnID) Node() int       { return int(c >> 54) }
func (c ConnID) Loop() int       { return int(c>>48) & 0x3f }
func (c ConnID) Slot() int       { return int(c>>24) & 0xffffff }
func (c ConnID) Generation() int { return int(c) & 0xffffff }

// Target is one delivery of a parcel: the frames Buf[Off:Off+Len] go to Conn.
type Target struct {
	Conn ConnID
	Off  uint32
	Len  uint32
}

// Parcel is what a dispatcher hands to one event loop (later: to another node) in one go: frames, and who gets them, in order.
// Several targets may share the same bytes, so a payload for many is encoded once. It is filled by one goroutine, handed over, read
// by the loop and released; Next belongs to whoever holds it (a mailbox links parcels through it).
type Parcel struct {
	Targets []Target
	Buf     []byte // shared with other parcels of the same commit; nobody writes to it once handed over
	Next    *Parcel
	Owner   ParcelOwner
}

// ParcelOwner takes a parcel back when the loop is done with its bytes.
type ParcelOwner interface{ Release(*Parcel) }

// Refs counts the parcels that still read a shared buffer.
type Refs struct{ n atomic.Int32 }

// Set starts the count, before the first hand-over.
func (r *Refs) Set(n int) { r.n.Store(int32(n)) }

// Done tells whether the caller was the last.
func (r *Refs) Done() bool { return r.n.Add(-1) == 0 }
