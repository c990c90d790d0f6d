package escalate

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"

	"github.com/switchyard-im/switchyard/frame"
)

// NotificationID returns the id under which a receiver knows a notification: the same for the same (Conv, User, Step, Last), also if it is fired
// again after a crash. 43 letters, digits, '-' and '_', whatever the names are; a name does not show in it.
func NotificationID(conv frame.ID, user, step string, last uint64) string {
	b := make([]byte, 0, 128)
	b = append(b, conv[:]...)
	b = binary.BigEndian.AppendUint64(b, last)
	b = binary.BigEndian.AppendUint64(b, uint64(len(user))) // where the one name ends and the other begins
	b = append(b, user...)
	b = append(b, step...)
	sum := sha256.Sum256(b)
	return base64.RawURLEncoding.EncodeToString(sum[:])
}
