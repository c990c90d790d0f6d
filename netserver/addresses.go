package netserver

import (
	"hash/maphash"
	"maps"
	"net/netip"
	"sync"
	"time"
)

const (
	clientShards = 64
	shrinkFrom   = 1024 // addresses that a shard once held, from which on it gives memory back
)

// clientTable counts the sockets of each client, over all loops, from when the client's address is known until its descriptor is closed. It is
// empty if no limit is configured. Any loop calls it, twice for a connection and never for a message; the shards keep the loops apart, and a
// lock is held for a map operation. Its size is bounded by that of the sockets: an address without any has no entry, and a shard that has
// become nearly empty is copied to a smaller one.
type clientTable struct {
	seed   maphash.Seed
	shards [clientShards]clientShard
}

type clientShard struct {
	mu      sync.Mutex
	sockets map[[16]byte]int32 // guarded by mu; nil: none
	peak    int                // guarded by mu: most entries of this map
}

// clientKey is what a limit counts as one client: an IPv4 address, or the 64 bits of an IPv6 address that a subscriber gets as a whole.
func clientKey(addr [16]byte) [16]byte {
	if !netip.AddrFrom16(addr).Is4In6() {
		clear(addr[8:])
	}
	return addr
}

func (t *clientTable) shard(key [16]byte) *clientShard {
	return &t.shards[maphash.Comparable(t.seed, key)%clientShards]
}

// add counts a socket, unless its client has as many as it may.
func (t *clientTable) add(key [16]byte, limit int) bool {
	s := t.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	if int(s.sockets[key]) >= limit {
		return false
	}
	if s.sockets == nil {
		s.sockets = make(map[[16]byte]int32)
	}
	s.sockets[key]++
	s.peak = max(s.peak, len(s.sockets))
	return true
}

// remove takes back what add counted.
func (t *clientTable) remove(key [16]byte) {
	s := t.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.sockets[key]--; s.sockets[key] == 0 {
		delete(s.sockets, key)
		s.shrink()
	}
}

// shrink copies what is left of a large map, because a map never gives memory back by itself.
func (s *clientShard) shrink() {
	if s.peak < shrinkFrom || len(s.sockets) > s.peak/8 {
		return
	}
	left := make(map[[16]byte]int32, len(s.sockets))
	maps.Copy(left, s.sockets)
	s.sockets, s.peak = left, len(left)
}

// admitAddress is where a connection's client becomes known: after accept, or with the PROXY header. It counts the connection, or refuses it.
func (l *loop) admitAddress(c *Conn) bool {
	limit := l.cfg.Limits.PerAddress
	if limit == 0 {
		return true
	}
	if !l.shared.clients.add(clientKey(c.addr), limit) {
		l.limited(limitAddress)
		l.refuseSurplus(c)
		return false
	}
	c.counted = true
	return true
}

// A refused connection keeps its descriptor until its peer has read the answer and closed, and nothing counts it for its client. So that a flood
// from one address does not hold what the limit denies it, only so many of a loop have this patience, and not for long. The answer of the others is
// written once and they are closed: one whose request comes later may see a reset instead of it.
const (
	surplusMax  = 256
	surplusTime = time.Second // for writing, and again for the peer to close
)

// refuseSurplus answers a connection that its client may not have.
func (l *loop) refuseSurplus(c *Conn) {
	if l.surplus < surplusMax {
		c.surplus = true
		l.surplus++
		l.refuse(c, &answer429, ReasonRefused)
		return
	}
	l.n.answered(answer429.status)
	sysRead(c.fd, l.in) // as in turnAway
	sysWrite(c.fd, answer429.text)
	l.destroy(c, ReasonRefused)
}

// forgetAddress takes a connection out of the counts. When its descriptor is closed.
func (l *loop) forgetAddress(c *Conn) {
	if c.surplus {
		c.surplus = false
		l.surplus--
	}
	if c.counted {
		c.counted = false
		l.shared.clients.remove(clientKey(c.addr))
	}
}
