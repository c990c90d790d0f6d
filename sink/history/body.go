package history

import "github.com/switchyard-im/switchyard/frame"

// splitBody makes the two columns of a body: the text that a search finds, and the value itself, which is empty if joinBody can make
// it of the text. Texts inside a body that is no text are put behind scratch, which is returned grown; text borrows from it or from
// body.
func splitBody(body, scratch []byte) (text, value, grown []byte) {
	if text, ok := frame.Text(body); ok {
		if len(body) != textHead(len(text))+len(text) {
			value = body // not the shortest form
		}
		return text, value, scratch
	}
	if len(body) == 0 {
		body = noBody
	}
	start := len(scratch)
	scratch = frame.AppendTexts(scratch, body)
	return scratch[start:], body, scratch
}

// noBody is the value of a message without a body: msgpack's nil.
var noBody = []byte{0xc0}

// joinBody is the inverse of splitBody: it puts the body behind dst.
func joinBody(dst, text, value []byte) []byte {
	if len(value) == 0 {
		return frame.AppendText(dst, text)
	}
	return append(dst, value...)
}

// textHead is the length of the shortest head of a text of n bytes.
func textHead(n int) int {
	switch {
	case n < 32:
		return 1
	case n < 1<<8:
		return 2
	case n < 1<<16:
		return 3
	default:
		return 5
	}
}
