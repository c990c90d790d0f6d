package frame

import "strconv"

// fieldKind says how a field is written; names are those of PROTOCOL.md.
type fieldKind string

const (
	fieldUint   fieldKind = "uint"   // an unsigned integer
	fieldByte   fieldKind = "byte"   // an unsigned integer up to 255
	fieldBool   fieldKind = "bool"   // true or false
	fieldText   fieldKind = "text"   // str
	fieldID     fieldKind = "id"     // bin 16; 32 hex digits in JSON
	fieldMaybe  fieldKind = "id?"    // an id or nil
	fieldBody   fieldKind = "body"   // one value of any kind
	fieldFrames fieldKind = "frames" // an array of frames
)

// field is one element of a frame after its type.
type field struct {
	name     string
	kind     fieldKind
	limit    int  // of text, in bytes
	optional bool // may be missing at the end
}

// schema describes a frame. The JSON twin translates by it; tests hold Append, Parse and PROTOCOL.md against it.
type schema struct {
	typ    Type
	name   string
	from   string // "client", "server" or "both"
	fields []field
}

var schemas = []schema{
	{TypeHeartbeat, "heartbeat", "both", []field{
		{name: "client_ms", kind: fieldUint}, {name: "server_ms", kind: fieldUint, optional: true}}},
	{TypeHello, "hello", "client", []field{
		{name: "ref", kind: fieldUint}, {name: "token", kind: fieldText, limit: MaxToken},
		{name: "agent", kind: fieldText, limit: MaxName}, {name: "flags", kind: fieldUint}}},
	{TypeWelcome, "welcome", "server", []field{
		{name: "ref", kind: fieldUint}, {name: "session", kind: fieldID}, {name: "user", kind: fieldText, limit: MaxName},
		{name: "role", kind: fieldText, limit: MaxName}, {name: "server_ms", kind: fieldUint}, {name: "expires_ms", kind: fieldUint},
		{name: "heartbeat_ms", kind: fieldUint}, {name: "max_message", kind: fieldUint}, {name: "retry_min_ms", kind: fieldUint},
		{name: "retry_max_ms", kind: fieldUint}, {name: "retry_jitter_ms", kind: fieldUint}}},
	{TypeError, "error", "server", []field{
		{name: "ref", kind: fieldUint}, {name: "code", kind: fieldUint}, {name: "text", kind: fieldText, limit: MaxText},
		{name: "retry_ms", kind: fieldUint}}},
	{TypeDrain, "drain", "server", []field{
		{name: "delay_ms", kind: fieldUint}, {name: "window_ms", kind: fieldUint}, {name: "target", kind: fieldText, limit: MaxTarget}}},
	{TypeOpen, "open", "client", []field{
		{name: "ref", kind: fieldUint}, {name: "key", kind: fieldID}, {name: "group", kind: fieldText, limit: MaxName},
		{name: "details", kind: fieldBody, optional: true}}},
	{TypeConversation, "conversation", "server", []field{
		{name: "ref", kind: fieldUint}, {name: "conv", kind: fieldID}, {name: "state", kind: fieldByte},
		{name: "group", kind: fieldText, limit: MaxName}, {name: "visitor", kind: fieldText, limit: MaxName},
		{name: "agent", kind: fieldText, limit: MaxName}, {name: "head", kind: fieldUint}}},
	{TypeAttach, "attach", "client", []field{
		{name: "ref", kind: fieldUint}, {name: "conv", kind: fieldID}}},
	{TypeResume, "resume", "client", []field{
		{name: "ref", kind: fieldUint}, {name: "conv", kind: fieldID}, {name: "after", kind: fieldUint}}},
	{TypeResumed, "resumed", "server", []field{
		{name: "ref", kind: fieldUint}, {name: "conv", kind: fieldID}, {name: "recovered", kind: fieldBool},
		{name: "after", kind: fieldUint}, {name: "head", kind: fieldUint}, {name: "count", kind: fieldUint}}},
	{TypeDetach, "detach", "client", []field{
		{name: "ref", kind: fieldUint}, {name: "conv", kind: fieldID}}},
	{TypeClose, "close", "client", []field{
		{name: "ref", kind: fieldUint}, {name: "conv", kind: fieldID}}},
	{TypeReopen, "reopen", "client", []field{
		{name: "ref", kind: fieldUint}, {name: "conv", kind: fieldID}}},
	{TypeJoin, "join", "client", []field{
		{name: "ref", kind: fieldUint}, {name: "conv", kind: fieldID}}},
	{TypeSend, "send", "client", []field{
		{name: "ref", kind: fieldUint}, {name: "conv", kind: fieldID}, {name: "level", kind: fieldByte},
		{name: "id", kind: fieldMaybe}, {name: "base", kind: fieldUint}, {name: "body", kind: fieldBody}}},
	{TypeAck, "ack", "server", []field{
		{name: "ref", kind: fieldUint}, {name: "seq", kind: fieldUint}, {name: "time_ms", kind: fieldUint}}},
	{TypeMessage, "message", "server", []field{
		{name: "conv", kind: fieldID}, {name: "seq", kind: fieldUint}, {name: "prev", kind: fieldUint},
		{name: "time_ms", kind: fieldUint}, {name: "sender", kind: fieldText, limit: MaxName}, {name: "id", kind: fieldMaybe},
		{name: "kind", kind: fieldByte}, {name: "body", kind: fieldBody}}},
	{TypeDelivered, "delivered", "client", []field{
		{name: "conv", kind: fieldID}, {name: "seq", kind: fieldUint}}},
	{TypeRead, "read", "client", []field{
		{name: "conv", kind: fieldID}, {name: "seq", kind: fieldUint}}},
	{TypeReceipt, "receipt", "server", []field{
		{name: "conv", kind: fieldID}, {name: "user", kind: fieldText, limit: MaxName},
		{name: "delivered", kind: fieldUint}, {name: "read", kind: fieldUint}}},
	{TypeSignal, "signal", "client", []field{
		{name: "conv", kind: fieldID}, {name: "name", kind: fieldText, limit: MaxSignal}, {name: "body", kind: fieldBody}}},
	{TypeSignaled, "signaled", "server", []field{
		{name: "conv", kind: fieldID}, {name: "sender", kind: fieldText, limit: MaxName},
		{name: "name", kind: fieldText, limit: MaxSignal}, {name: "body", kind: fieldBody}}},
	{TypeHistory, "history", "client", []field{
		{name: "ref", kind: fieldUint}, {name: "conv", kind: fieldID}, {name: "before", kind: fieldUint}, {name: "limit", kind: fieldUint}}},
	{TypePage, "page", "server", []field{
		{name: "ref", kind: fieldUint}, {name: "conv", kind: fieldID}, {name: "more", kind: fieldBool}, {name: "messages", kind: fieldFrames},
		{name: "partial_from", kind: fieldUint, optional: true}}},
	{TypePresence, "presence", "server", []field{
		{name: "conv", kind: fieldID}, {name: "user", kind: fieldText, limit: MaxName}, {name: "online", kind: fieldBool}}},
	{TypeStatus, "status", "both", []field{
		{name: "ref", kind: fieldUint}, {name: "status", kind: fieldByte}, {name: "capacity", kind: fieldUint},
		{name: "user", kind: fieldText, limit: MaxName, optional: true}}},
	{TypeClaim, "claim", "client", []field{
		{name: "ref", kind: fieldUint}, {name: "conv", kind: fieldID}}},
	{TypeTransfer, "transfer", "client", []field{
		{name: "ref", kind: fieldUint}, {name: "conv", kind: fieldID}, {name: "group", kind: fieldText, limit: MaxName},
		{name: "agent", kind: fieldText, limit: MaxName}, {name: "front", kind: fieldBool}}},
	{TypeHold, "hold", "client", []field{
		{name: "ref", kind: fieldUint}, {name: "conv", kind: fieldID}, {name: "on", kind: fieldBool}}},
	{TypeRate, "rate", "client", []field{
		{name: "ref", kind: fieldUint}, {name: "conv", kind: fieldID}, {name: "stars", kind: fieldByte},
		{name: "comment", kind: fieldText, limit: MaxComment}}},
	{TypeWatch, "watch", "client", []field{
		{name: "ref", kind: fieldUint}, {name: "group", kind: fieldText, limit: MaxName}, {name: "limit", kind: fieldUint}}},
	{TypeQueue, "queue", "server", []field{
		{name: "ref", kind: fieldUint}, {name: "group", kind: fieldText, limit: MaxName}, {name: "version", kind: fieldUint},
		{name: "total", kind: fieldUint}, {name: "entries", kind: fieldFrames}}},
	{TypeQueueChange, "queue_change", "server", []field{
		{name: "group", kind: fieldText, limit: MaxName}, {name: "version", kind: fieldUint}, {name: "op", kind: fieldByte},
		{name: "total", kind: fieldUint}, {name: "conv", kind: fieldID}, {name: "visitor", kind: fieldText, limit: MaxName},
		{name: "since_ms", kind: fieldUint}, {name: "rank_ms", kind: fieldUint}, {name: "priority", kind: fieldUint}, {name: "front", kind: fieldBool}}},
	{TypePosition, "position", "server", []field{
		{name: "conv", kind: fieldID}, {name: "group", kind: fieldText, limit: MaxName}, {name: "place", kind: fieldUint},
		{name: "of", kind: fieldUint}, {name: "wait_ms", kind: fieldUint}}},
}

// schemaOf finds the schema of a type in constant time; nil for an unknown type.
var schemaOf = indexSchemas()

func indexSchemas() (t [256]*schema) {
	for i := range schemas {
		t[schemas[i].typ] = &schemas[i]
	}
	return t
}

// Types returns all types of this version of the protocol, ascending.
func Types() []Type {
	all := make([]Type, len(schemas))
	for i, s := range schemas {
		all[i] = s.typ
	}
	return all
}

// Known tells whether the type belongs to this version of the protocol.
func (t Type) Known() bool { return schemaOf[t] != nil }

// FromClient tells whether a client may send frames of the type.
func (t Type) FromClient() bool { return schemaOf[t] != nil && schemaOf[t].from != "server" }

// String returns the name in PROTOCOL.md, or for an unknown type its number, like 0x7f.
func (t Type) String() string {
	if s := schemaOf[t]; s != nil {
		return s.name
	}
	return "0x" + strconv.FormatUint(uint64(t)>>4, 16) + strconv.FormatUint(uint64(t)&15, 16)
}

// fieldName names the element of a frame at an index; 0 is the type.
func fieldName(t Type, index int) string {
	s := schemaOf[t]
	if s == nil || index < 1 || index > len(s.fields) {
		return "type"
	}
	return s.fields[index-1].name
}

// fieldKindAt returns how the element at an index is written; what the schema does not know is a body.
func fieldKindAt(t Type, index int) fieldKind {
	s := schemaOf[t]
	if s == nil || index < 1 || index > len(s.fields) {
		return fieldBody
	}
	return s.fields[index-1].kind
}
