package sink

import (
	"encoding/binary"
	"errors"

	"github.com/cockroachdb/pebble/v2"

	"github.com/switchyard-im/switchyard/frame"
)

// noticeHead is what the value of a notice begins with: attempts 4, next 8, time 8, conversation 16, big endian.
type noticeHead struct {
	attempts       uint32
	nextMS, timeMS uint64
	conv           frame.ID
}

const noticeHeadLen = 4 + 8 + 8 + len(frame.ID{})

func (h noticeHead) append(dst []byte) []byte {
	dst = binary.BigEndian.AppendUint32(dst, h.attempts)
	dst = binary.BigEndian.AppendUint64(dst, h.nextMS)
	dst = binary.BigEndian.AppendUint64(dst, h.timeMS)
	return append(dst, h.conv[:]...)
}

// parseNotice is the inverse; body borrows from value.
func parseNotice(value []byte) (h noticeHead, body []byte, err error) {
	if len(value) < noticeHeadLen {
		return noticeHead{}, nil, errDamaged
	}
	h.attempts = binary.BigEndian.Uint32(value)
	h.nextMS = binary.BigEndian.Uint64(value[4:])
	h.timeMS = binary.BigEndian.Uint64(value[12:])
	copy(h.conv[:], value[20:])
	return h, value[noticeHeadLen:], nil
}

// appendNoticeKey appends the key of a notice. A lane has 1 to MaxLane bytes.
func appendNoticeKey(dst []byte, lane string, number uint64) []byte {
	return binary.BigEndian.AppendUint64(appendLanePrefix(dst, lane), number)
}

func appendLanePrefix(dst []byte, lane string) []byte {
	return append(append(dst, keyNotice, byte(len(lane))), lane...)
}

func noticeLaneEnd(lane string) []byte { return appendSuccessor(nil, appendLanePrefix(nil, lane)) }

// parseNoticeKey is the inverse of appendNoticeKey.
func parseNoticeKey(key []byte) (lane string, number uint64, err error) {
	if len(key) < 2 || len(key) != 2+int(key[1])+8 {
		return "", 0, errDamaged
	}
	end := 2 + int(key[1])
	return string(key[2:end]), binary.BigEndian.Uint64(key[end:]), nil
}

// currentNotice reads the notice at which the iterator stands; its body expires with the next move.
func currentNotice(it *pebble.Iterator) (Notice, error) {
	_, number, err := parseNoticeKey(it.Key())
	if err != nil {
		return Notice{}, err
	}
	value, err := it.ValueAndErr()
	if err != nil {
		return Notice{}, err
	}
	h, body, err := parseNotice(value)
	return Notice{Number: number, TimeMS: h.timeMS, Conv: h.conv, Attempts: int(h.attempts), NextMS: h.nextMS, Body: body}, err
}

// keptNotices is what the disk has of the lanes when an engine is opened.
type keptNotices struct {
	last  uint64 // the highest number
	lanes map[string]Waiting
}

// loadNotices counts what waits. It reads keys and lengths only.
func loadNotices(db *pebble.DB) (k keptNotices, err error) {
	k.lanes = map[string]Waiting{}
	err = scan(db, []byte{keyNotice}, func(it *pebble.Iterator) error {
		for ok := it.First(); ok; ok = it.Next() {
			lane, number, err := parseNoticeKey(it.Key())
			value := it.LazyValue()
			if err = errors.Join(err, shorter(value.Len(), noticeHeadLen)); err != nil {
				return err
			}
			k.last = max(k.last, number)
			w := k.lanes[lane]
			k.lanes[lane] = Waiting{Notices: w.Notices + 1, Bytes: w.Bytes + uint64(value.Len()-noticeHeadLen)}
		}
		return nil
	})
	return k, err
}

func shorter(length, least int) error {
	if length < least {
		return errDamaged
	}
	return nil
}
