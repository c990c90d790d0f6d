package switchyard

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"time"
)

// Options configure a client. Only Token is required; the zero value of each other field means its default.
type Options struct {
	// Token returns a signed token. It is called before each connection, before the token expires, and when the server says that it has
	// expired. It may block; its context ends with the client or after DialTimeout.
	Token func(ctx context.Context) (string, error)

	// Agent names the application in the server's logs. Default "switchyard-go".
	Agent string
	// ListConversations asks for a notice of each open conversation of the user on each connection; see Client.Conversations. Agents
	// want this.
	ListConversations bool
	// Handlers are told of everything that is not a message.
	Handlers Handlers

	// MaxPending is how many messages of all conversations may wait for the server's answer; Send waits while there are so
	// many. Default 256.
	MaxPending int
	// InboxSize is how many received messages a conversation keeps for the application; see the package comment for what happens when
	// it is full. Default 256.
	InboxSize int
	// MaxReceive is the largest WebSocket message accepted from the server, in bytes. Default 4 MiB.
	MaxReceive int
	// MarkDelay is how long a delivered or read mark may wait for others, or for a frame to travel with. Default 1 s: a mark with its
	// receipt costs the server about as much as a message.
	MarkDelay time.Duration
	// ManualDelivered leaves it to the application to call Conversation.Delivered. By default a message counts as delivered when Receive
	// has returned it.
	ManualDelivered bool

	// DialTimeout bounds one attempt to connect, up to the server's welcome, and one call of Token. Default 10 s.
	DialTimeout time.Duration
	// WriteTimeout bounds one write. Default 10 s.
	WriteTimeout time.Duration
	// DialContext opens the network connection. Default: a net.Dialer.
	DialContext func(ctx context.Context, network, addr string) (net.Conn, error)
	// TLS is for wss addresses. Default: the system's certificates.
	TLS *tls.Config
	// Logger is told about connections. Default: no logs.
	Logger *slog.Logger
}

// Handlers are called one after the other from the goroutine that reads the connection, so they must return soon and must not
// call Client.Close or methods that take a context. Each may be nil.
type Handlers struct {
	Connection   func(ConnectionState, error) // the error is why a connection ended
	Conversation func(Notice)                 // a conversation of this client changed its state
	Receipt      func(Receipt)
	Signal       func(Signal)
	Presence     func(Presence)
	Position     func(Position) // a visitor's place in the queue, at most once a second
}

// ConnectionState is told to Handlers.Connection.
type ConnectionState int

// The states of a connection.
const (
	Connected    ConnectionState = iota + 1 // authenticated; conversations are being resumed
	Disconnected                            // trying again
	Draining                                // the server is about to go; the client will reconnect in time
	Failed                                  // for good: closed by the application, or an error that no retry heals
)

// String returns the state in lower case.
func (s ConnectionState) String() string {
	names := [...]string{"unknown", "connected", "disconnected", "draining", "failed"}
	if s < 0 || int(s) >= len(names) {
		s = 0
	}
	return names[s]
}

func (o Options) withDefaults() Options {
	setDefault(&o.Agent, "switchyard-go")
	setDefault(&o.MaxPending, 256)
	setDefault(&o.InboxSize, 256)
	setDefault(&o.MaxReceive, 4<<20)
	setDefault(&o.MarkDelay, time.Second)
	setDefault(&o.DialTimeout, 10*time.Second)
	setDefault(&o.WriteTimeout, 10*time.Second)
	if o.DialContext == nil {
		o.DialContext = (&net.Dialer{}).DialContext
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

func (o Options) validate() error {
	if o.Token == nil {
		return errors.New("switchyard: Options.Token is missing: give a function that returns a signed token")
	}
	for name, value := range map[string]int64{
		"MaxPending": int64(o.MaxPending), "InboxSize": int64(o.InboxSize), "MaxReceive": int64(o.MaxReceive),
		"MarkDelay": int64(o.MarkDelay), "DialTimeout": int64(o.DialTimeout), "WriteTimeout": int64(o.WriteTimeout),
	} {
		if value < 0 {
			return fmt.Errorf("switchyard: Options.%s is negative: leave it zero for the default", name)
		}
	}
	return nil
}

// checkURL wants ws://host[:port]/path or wss://.
func checkURL(address string) error {
	u, err := url.Parse(address)
	switch {
	case err != nil:
		return fmt.Errorf("switchyard: %w", err)
	case u.Scheme != "ws" && u.Scheme != "wss":
		return fmt.Errorf("switchyard: the address %q must start with ws:// or wss://, as in ws://127.0.0.1:8080/v1/ws", address)
	case u.Host == "":
		return fmt.Errorf("switchyard: the address %q names no host, want ws://127.0.0.1:8080/v1/ws", address)
	}
	return nil
}
