package sinkbench

import (
	"encoding/binary"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/switchyard-im/switchyard/frame"
)

const (
	conversations = 1000 // the rows are spread over, as in a server where many talk
	soupBytes     = 256 << 10
	maxBody       = soupBytes / 2
)

// rows makes the rows of a run, each from its number: so the journal and the bare loop get the same ones. Used by one goroutine.
type rows struct {
	soup   string // of words, so that it compresses and is searched as a text is
	size   int    // bytes of a text
	timeMS uint64
	body   []byte // of the last message
}

func newRows(size int) *rows {
	r := rand.New(rand.NewPCG(1, 2))
	words := make([]string, 2000)
	for i := range words {
		word := make([]byte, 2+r.IntN(9))
		for j := range word {
			word[j] = 'a' + byte(r.IntN(26))
		}
		words[i] = string(word)
	}
	var soup strings.Builder
	for soup.Len() < soupBytes {
		soup.WriteString(words[r.IntN(len(words))])
		soup.WriteByte(' ')
	}
	return &rows{soup: soup.String(), size: size, timeMS: uint64(time.Now().UnixMilli())}
}

// spread makes a number look random; different numbers stay different.
func spread(n uint64) uint64 { return (n + 1) * 0x9e3779b97f4a7c15 }

func conversation(n int) (id frame.ID) {
	binary.BigEndian.PutUint64(id[:], spread(uint64(n%conversations)))
	return id
}

func clientID(n int) (id frame.ID) {
	binary.BigEndian.PutUint64(id[:], spread(uint64(n)))
	binary.BigEndian.PutUint64(id[8:], spread(spread(uint64(n))))
	return id
}

func sequence(n int) uint64 { return uint64(n/conversations) + 1 }

func (r *rows) text(n int) string {
	at := int(spread(uint64(n)) % uint64(len(r.soup)-r.size))
	return r.soup[at : at+r.size]
}

const sender = "visitor-0123456789"

// message is row n as a frame. Its body expires with the next call.
func (r *rows) message(n int) frame.Message {
	r.body = frame.AppendText(r.body[:0], r.text(n))
	return frame.Message{
		Conv: conversation(n), Seq: sequence(n), Prev: sequence(n) - 1, TimeMS: r.timeMS,
		Sender: []byte(sender), ID: clientID(n), Body: r.body,
	}
}

// columns are rows as the driver takes them.
type columns struct {
	conv, id           []uuid.UUID
	seq, prev, version []uint64
	sentAt             []int64
	sender, text, body []string
	kind, deleted      []uint8
}

func (r *rows) columns(from, to int) *columns {
	c := new(columns)
	for n := from; n < to; n++ {
		c.conv = append(c.conv, uuid.UUID(conversation(n)))
		c.seq = append(c.seq, sequence(n))
		c.prev = append(c.prev, sequence(n)-1)
		c.sentAt = append(c.sentAt, int64(r.timeMS))
		c.sender = append(c.sender, sender)
		c.id = append(c.id, uuid.UUID(clientID(n)))
		c.kind = append(c.kind, uint8(frame.KindChat))
		c.text = append(c.text, r.text(n))
		c.body = append(c.body, "")
		c.version = append(c.version, uint64(n))
		c.deleted = append(c.deleted, 0)
	}
	return c
}

// all are the columns in the order of insertQuery.
func (c *columns) all() []any {
	return []any{c.conv, c.seq, c.prev, c.sentAt, c.sender, c.id, c.kind, c.text, c.body, c.version, c.deleted}
}
