package frame

import "strconv"

// codeInfo is a row of codes.tsv.
type codeInfo struct {
	name  string
	retry bool
}

// ErrorName returns the name of an error code, like "overloaded"; of an unknown one its number.
func ErrorName(code uint64) string { return name(errorCodes, code) }

// ErrorRetry tells whether the request that was refused with this code may succeed when it is repeated later.
func ErrorRetry(code uint64) bool { return errorCodes[code].retry }

// CloseName returns the name of a close code, like "slow_consumer"; of an unknown one its number.
func CloseName(code int) string { return name(closeCodes, uint64(code)) }

// CloseReconnects tells whether a client reconnects by itself after a close with this code. Codes that the table does not have go by
// their range; 1005 and 1006 (no code, no close frame) mean reconnect.
func CloseReconnects(code int) bool {
	if c, ok := closeCodes[uint64(code)]; ok {
		return c.retry
	}
	return code < 4500
}

func name(table map[uint64]codeInfo, code uint64) string {
	if c, ok := table[code]; ok {
		return c.name
	}
	return strconv.FormatUint(code, 10)
}
