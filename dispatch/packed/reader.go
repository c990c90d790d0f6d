// Package packed reads records that the packages beside it keep in the store: msgpack arrays, field after field. Package msgpack would read them by
// reflection, which costs some ten objects a record, and would make room for whatever length a damaged list claims to have.
package packed

import (
	"bytes"
	"fmt"
	"io"

	"github.com/vmihailenco/msgpack/v5"
	"github.com/vmihailenco/msgpack/v5/msgpcode"
)

// Reader reads records, one after the other. The bytes are anybody's: every length is checked before something is allocated for it. What is read after
// the first error, which Err returns, does not count. Not safe for concurrent use.
type Reader struct {
	d    *msgpack.Decoder
	data bytes.Reader
	err  error // nothing that was read after it counts
	text []byte
}

// NewReader makes a reader that has nothing to read.
func NewReader() *Reader { return &Reader{d: msgpack.NewDecoder(nil)} }

// Reset begins a record, which is borrowed until the next Reset.
func (r *Reader) Reset(data []byte) {
	r.data.Reset(data)
	r.d.Reset(&r.data)
	r.err = nil
}

// Err returns the first error since Reset.
func (r *Reader) Err() error { return r.err }

// Fail makes the record a bad one, for a reason that the reader does not know.
func (r *Reader) Fail(err error) {
	if r.err == nil {
		r.err = err
	}
}

// Array reads the head of an array; 0 if its length is not from least to most. What is nil is empty.
func (r *Reader) Array(what string, least, most int) int {
	if r.err != nil {
		return 0
	}
	n, err := r.d.DecodeArrayLen()
	n = max(n, 0)
	if err == nil && (n < least || n > most) {
		err = fmt.Errorf("%d %s, there are %d to %d", n, what, least, most)
	}
	if err != nil {
		r.Fail(err)
		return 0
	}
	return n
}

// Texts reads an array of strings, nil if it is empty.
func (r *Reader) Texts(what string, most int) (all []string) {
	for range r.Array(what, 0, most) {
		all = append(all, r.Text(""))
	}
	return all
}

// Int reads an integer.
func (r *Reader) Int() int64 {
	n, err := r.d.DecodeInt64()
	if err != nil {
		r.Fail(err)
	}
	return n
}

// Uint reads an integer.
func (r *Reader) Uint() uint64 {
	n, err := r.d.DecodeUint64()
	if err != nil {
		r.Fail(err)
	}
	return n
}

// Bool reads a truth value.
func (r *Reader) Bool() bool {
	b, err := r.d.DecodeBool()
	if err != nil {
		r.Fail(err)
	}
	return b
}

// Text reads a string; equal, if that is what it says, which spares a copy.
func (r *Reader) Text(equal string) string {
	n, err := r.d.DecodeBytesLen()
	switch {
	case err == nil && n > r.data.Len():
		err = io.ErrUnexpectedEOF
	case err == nil && n > 0:
		r.text = append(r.text[:0], make([]byte, n)...)
		err = r.d.ReadFull(r.text)
	default:
		r.text = r.text[:0]
	}
	if err != nil {
		r.Fail(err)
		return ""
	}
	if string(r.text) == equal {
		return equal
	}
	return string(r.text)
}

// Nil tells whether the next value is nil, and then passes it.
func (r *Reader) Nil() bool {
	if r.err != nil || r.data.Len() == 0 {
		return false
	}
	code, err := r.d.PeekCode()
	if err != nil || code != msgpcode.Nil {
		return false
	}
	if err := r.d.DecodeNil(); err != nil {
		r.Fail(err)
	}
	return true
}
