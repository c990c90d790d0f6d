package history

import "unsafe"

// borrowString is b as a string, without a copy. The string is good while b is not changed. The columns of a batch use it: the driver
// wants strings and copies them when they are appended, and the bytes are the batch's until it is shipped. Copying 10,000 rows
// of 200 bytes here would be 10,000 allocations.
func borrowString(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }
