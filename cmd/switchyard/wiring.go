package main

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/switchyard-im/switchyard/cmd/switchyard/api"
	"github.com/switchyard-im/switchyard/cmd/switchyard/config"
	"github.com/switchyard-im/switchyard/cmd/switchyard/memory"
	"github.com/switchyard-im/switchyard/dispatch"
	"github.com/switchyard-im/switchyard/frame"
	"github.com/switchyard-im/switchyard/netserver"
	"github.com/switchyard-im/switchyard/sink"
	"github.com/switchyard-im/switchyard/sink/history"
	outward "github.com/switchyard-im/switchyard/sink/notify"
)

// The functions below give each part its own configuration. Nothing but they knows both sides, so an option that no line here
// names does nothing; TestEveryOptionArrives finds it.

func netserverConfig(c *config.Config) netserver.Config {
	return netserver.Config{
		Listen:           c.Server.Listen.AddrPort(),
		ReusePort:        c.Server.ReusePort,
		Loops:            c.Server.Loops,
		Node:             c.Server.Node,
		AllowedOrigins:   c.Server.AllowedOrigins,
		ProxyProtocol:    netserver.ProxyMode(c.Server.ProxyProtocol),
		ProxyNetworks:    proxyNetworks(c.Server.ProxyNetworks),
		Limits:           limitsConfig(&c.Limits),
		MaxConns:         c.Server.MaxConnections,
		MaxHeader:        int(c.Server.MaxHeader),
		MaxMessage:       int(c.Websocket.MaxMessage),
		MaxMerge:         int(c.Websocket.MaxMerge),
		Unsent:           int(c.Websocket.OutputKernel),
		OutSoft:          int(c.Websocket.OutputSoft),
		OutHard:          int(c.Websocket.OutputHard),
		ReadBudget:       int(c.Server.ReadBudget),
		Mailbox:          int(c.Server.Mailbox),
		Gather:           time.Duration(c.Server.Gather),
		HandshakeTimeout: time.Duration(c.Server.HandshakeTimeout),
		PingAfter:        time.Duration(c.Websocket.PingAfter),
		CloseAfter:       time.Duration(c.Websocket.CloseAfter),
		WriteTimeout:     time.Duration(c.Websocket.WriteTimeout),
		MessageTimeout:   time.Duration(c.Websocket.MessageTimeout),
		UserTimeout:      noneIsNegative(c.Server.UserTimeout),
		LingerTimeout:    time.Duration(c.Websocket.LingerTimeout),
		DrainWindow:      time.Duration(c.Reconnect.DrainWindow),
	}
}

func limitsConfig(c *config.Limits) netserver.Limits {
	return netserver.Limits{
		AcceptRate:   c.AcceptRate,
		AcceptBurst:  c.AcceptBurst,
		PerAddress:   c.PerAddress,
		Held:         int(c.Held),
		MessageRate:  c.MessageRate,
		MessageBurst: c.MessageBurst,
		ByteRate:     int(c.ByteRate),
		ByteBurst:    int(c.ByteBurst),
		LimitedMax:   time.Duration(c.CloseAfter),
	}
}

// proxyNetworks parses what the configuration's check has let pass.
func proxyNetworks(list []string) []netip.Prefix {
	var all []netip.Prefix
	for _, s := range list {
		p, err := config.ParseNetwork(s)
		if err != nil {
			panic("BUG: the configuration was not checked: " + err.Error())
		}
		all = append(all, p)
	}
	return all
}

func sinkConfig(c *config.Config, log *slog.Logger, reg prometheus.Registerer) sink.Config {
	return sink.Config{
		Dir:            c.Store.Dir,
		Durability:     sink.Durability(c.Store.Durability),
		MinFree:        int64(c.Store.MinFree),
		MaxInFlight:    c.Store.MaxInFlight,
		MaxBatchBytes:  int(c.Store.MaxBatch),
		SyncInterval:   noneIsNegative(c.Store.SyncEvery),
		CacheSize:      int64(c.Store.Cache),
		MemTableSize:   int64(c.Store.Memtable),
		ReopenMax:      time.Duration(c.Store.ReopenMax),
		Outbox:         len(c.History.Clickhouse) > 0,
		OutboxMax:      int64(c.History.MaxBacklog),
		OutboxFull:     sink.OutboxFull(c.History.WhenFull),
		Retention:      time.Duration(c.Store.Retention),
		RetentionBytes: int64(c.Store.RetentionSize),
		Release:        memory.Release,
		Logger:         log,
		Registerer:     reg,
	}
}

// apiConfig is what the configuration says of the interface for applications, and whether there is one.
func apiConfig(c *config.Config) (api.Config, bool) {
	listen, on := c.API.Listen.On()
	return api.Config{Listen: listen.AddrPort(), Requests: c.API.Requests, Timeout: time.Duration(c.API.Timeout), MaxBody: int64(c.Websocket.MaxMessage)}, on
}

// noneIsNegative says none as the parts do, for whom 0 is the default.
func noneIsNegative(d config.Duration) time.Duration {
	if d == 0 {
		return -1
	}
	return time.Duration(d)
}

func dispatchConfig(c *config.Config, loops int) dispatch.Config {
	return dispatch.Config{
		Release:         memory.Release,
		Loops:           loops,
		Runners:         c.Conversations.Runners,
		Units:           c.Conversations.Units,
		RingFrames:      c.Conversations.RingFrames,
		RingBytes:       int(c.Conversations.RingBytes),
		MaxDelay:        time.Duration(c.Overload.MaxDelay),
		Auth:            poolConfig(c.Pools.Auth),
		Reads:           poolConfig(c.Pools.Reads),
		HelloTimeout:    time.Duration(c.Auth.HelloTimeout),
		AttachMax:       c.Conversations.AttachMax,
		DefaultCapacity: c.Routing.Capacity,
		RetryAfter:      time.Duration(c.Conversations.RetryAfter),
		ResumeMax:       c.Conversations.ResumeMax,
		LookbackMax:     c.Conversations.LookbackMax,
		EvictAfter:      time.Duration(c.Conversations.EvictAfter),
		Welcome: dispatch.WelcomeConfig{
			Heartbeat:   time.Duration(c.Websocket.PingAfter),
			MaxMessage:  int(c.Websocket.MaxMessage),
			RetryMin:    time.Duration(c.Reconnect.Min),
			RetryMax:    time.Duration(c.Reconnect.Max),
			RetryJitter: time.Duration(c.Reconnect.Jitter),
		},
	}
}

func poolConfig(p config.Pool) dispatch.PoolConfig {
	return dispatch.PoolConfig{Workers: p.Workers, Queue: p.Queue, Deadline: time.Duration(p.Deadline)}
}

// store shows a sink.Store as a dispatch.Store. The two packages do not know each other; what differs is the name of the
// interface that Begin returns and of the error.
type store struct {
	*sink.Store
	tiers  *history.Reader // messages are read through it; nil: none are read
	events *outward.Events // tells the endpoints of messages; nil: there are none
}

func (s store) Begin(generation uint64) dispatch.Tx {
	t := tx{s.Store.Begin(generation)}
	if s.events != nil {
		return notifyingTx{t, s.events}
	}
	return t
}

func (s store) LoadConversation(conv frame.ID, tail int) (state, messages []byte, ok bool, err error) {
	state, messages, ok, err = s.Store.LoadConversation(conv, tail)
	return state, messages, ok, translate(err)
}

func (s store) ReadAfter(dst []byte, conv frame.ID, after, upto uint64, maxCount, maxBytes int) (frames []byte, last uint64, count int, err error) {
	frames, last, count, err = s.tiers.ReadAfter(dst, conv, after, upto, maxCount, maxBytes)
	return frames, last, count, translate(err)
}

func (s store) ReadBefore(dst []byte, conv frame.ID, before uint64, maxCount, maxBytes int) (frames []byte, count int, more bool, err error) {
	frames, count, more, err = s.tiers.ReadBefore(dst, conv, before, maxCount, maxBytes)
	return frames, count, more, translate(err)
}

func (s store) Members(user string, fn func(conv frame.ID) error) error {
	return translate(s.Store.Members(user, fn))
}

func (s store) OpenConversations(fn func(conv frame.ID, state []byte) error) error {
	return translate(s.Store.OpenConversations(fn))
}

func (s store) Memos(prefix string, fn func(key string, value []byte) error) error {
	return translate(s.Store.Memos(prefix, fn))
}

func (s store) Escalations(fn func(conv frame.ID, user string, record []byte) error) error {
	return translate(s.Store.Escalations(fn))
}

func (s store) Durable(ctx context.Context, generation uint64) error {
	return translate(s.Store.Durable(ctx, generation))
}

// tx shows a sink.Tx as a dispatch.Tx. It is one pointer, so it fits an interface without an allocation.
type tx struct{ *sink.Tx }

func (t tx) Commit(done dispatch.Completion) { t.Tx.Commit(done) }

// translated has the text of sink's error and is dispatch's too.
type translated struct{ cause, is error }

func (t translated) Error() string { return t.cause.Error() }

func (t translated) Unwrap() []error { return []error{t.cause, t.is} }

func translate(err error) error {
	var partial *history.PartialError
	if errors.As(err, &partial) {
		return &dispatch.PartialError{From: partial.From, Err: partial.Err}
	}
	switch {
	case errors.Is(err, sink.ErrUnavailable):
		return translated{err, dispatch.ErrUnavailable}
	case errors.Is(err, history.ErrGone):
		return translated{err, dispatch.ErrGone}
	}
	return err
}

// conns shows a netserver.Server as dispatch.Conns.
type conns struct{ *netserver.Server }

func (c conns) Post(id frame.ConnID, f func(dispatch.Conn)) {
	c.Server.Post(id, func(conn *netserver.Conn) { f(conn) })
}

// handler shows a dispatch.Center as the loops' handler. The center and its gate are set before the loops run.
type handler struct {
	log   *slog.Logger
	gate  *dispatch.Gate
	trace func(frame.ConnID) frame.ID // names the session, as its welcome frame did
	retry time.Duration               // what others are told
}

// Admit refuses connections while there is no center, which is so only if the start failed and everything is being closed. Who connected in the
// last moment before a drain is let in, and told to go elsewhere as all are.
func (h *handler) Admit(*netserver.Request) (time.Duration, bool) {
	return h.retry, h.gate != nil && h.gate.Admits()
}

// Open passes on the bearer token.
func (h *handler) Open(c *netserver.Conn, r *netserver.Request) { h.gate.Open(c, r.Token) }

// Message leaves closing to the gate.
func (h *handler) Message(c *netserver.Conn, payload []byte) error {
	h.gate.Message(c, payload)
	return nil
}

// Trim is for the gate.
func (h *handler) Trim(loop int) {
	if h.gate != nil {
		h.gate.Trim(loop)
	}
}

// Closed tells the gate, and the log if it is detailed.
func (h *handler) Closed(c *netserver.Conn, reason netserver.Reason) {
	h.gate.Closed(c)
	if ctx := context.Background(); h.log.Enabled(ctx, slog.LevelDebug) {
		h.log.DebugContext(ctx, "connection closed", "trace_id", h.trace(c.ID()).String(), "reason", reason.String(), "peer", c.RemoteAddr().String())
	}
}
