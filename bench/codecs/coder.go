package main

// A coder is one way to write messages. It is made for certain messages, in the library's own types, and holds the buffers that it reuses. One
// goroutine uses it.
type coder interface {
	// Encode writes the messages. The bytes are valid until the next call.
	Encode() ([]byte, error)

	// Read decodes as many messages and returns the digest of all their fields. It may borrow from b.
	Read(b []byte) (digest, error)

	// Keep decodes as many messages behind dst, so that they stay when b is gone.
	Keep(b []byte, dst []chat) ([]chat, error)
}

// kind is a codec as reports name it.
type kind struct {
	name   string
	module string // that it comes from
	make   func(messages []chat) coder
}

// inPlace is the name of what the others are compared with.
const inPlace = "in_place"

const (
	ourModule      = "github.com/switchyard-im/switchyard"
	msgpackModule  = "github.com/vmihailenco/msgpack/v5"
	sonicModule    = "github.com/bytedance/sonic"
	protobufModule = "google.golang.org/protobuf"
	flatModule     = "github.com/google/flatbuffers"
)

var kinds = []kind{
	{inPlace, ourModule, newFrames},
	{"in_place_json", ourModule, newTwin},
	{"encoding_json", "encoding/json", newStandardJSON},
	{"sonic", sonicModule, newSonic},
	{"msgpack_maps", msgpackModule, newMaps},
	{"msgpack_arrays", msgpackModule, newArrays},
	{"protobuf", protobufModule, newProtobuf},
	{"flatbuffers", flatModule, newFlat},
}
