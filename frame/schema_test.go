package frame

// parsable is what every frame type offers.
type parsable interface {
	Append(dst []byte) []byte
	Parse(f []byte) error
}

// newFrame returns an empty struct of the type.
func newFrame(t Type) parsable {
	switch t {
	case TypeHeartbeat:
		return new(Heartbeat)
	case TypeHello:
		return new(Hello)
	case TypeWelcome:
		return new(Welcome)
	case TypeError:
		return new(Error)
	case TypeDrain:
		return new(Drain)
	case TypeOpen:
		return new(Open)
	case TypeConversation:
		return new(Conversation)
	case TypeAttach:
		return new(Attach)
	case TypeResume:
		return new(Resume)
	case TypeResumed:
		return new(Resumed)
	case TypeDetach:
		return new(Detach)
	case TypeClose:
		return new(Close)
	case TypeSend:
		return new(Send)
	case TypeAck:
		return new(Ack)
	case TypeMessage:
		return new(Message)
	case TypeDelivered, TypeRead:
		return &Mark{Type: t}
	case TypeReceipt:
		return new(Receipt)
	case TypeSignal:
		return new(Signal)
	case TypeSignaled:
		return new(Signaled)
	case TypeHistory:
		return new(History)
	case TypePage:
		return new(Page)
	case TypePresence:
		return new(Presence)
	case TypeStatus:
		return new(Status)
	case TypeReopen:
		return new(Reopen)
	case TypeJoin:
		return new(Join)
	case TypeClaim:
		return new(Claim)
	case TypeTransfer:
		return new(Transfer)
	case TypeHold:
		return new(Hold)
	case TypeRate:
		return new(Rate)
	case TypeWatch:
		return new(Watch)
	case TypeQueue:
		return new(Queue)
	case TypeQueueChange:
		return new(QueueChange)
	case TypePosition:
		return new(Position)
	}
	return nil
}
