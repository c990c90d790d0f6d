package sink

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Durability tells what a committed transaction survives.
type Durability string

const (
	// DurabilitySync survives the loss of power: each commit waits for an fdatasync of the journal.
	DurabilitySync Durability = "sync"
	// DurabilityUnsafeNoFsync survives the end of the process (kill -9) but not the loss of power: the journal is written to the
	// operating system and not synced. After a loss of power the last seconds are gone, and the store may refuse to start because
	// the journal is damaged in the middle; then a backup must be restored.
	DurabilityUnsafeNoFsync Durability = "unsafe-no-fsync"
)

// OutboxFull tells what happens while the outbox is full.
type OutboxFull string

const (
	// OutboxRefuse refuses transactions, as too little free space does. Nothing is lost.
	OutboxRefuse OutboxFull = "refuse"
	// OutboxDrop is dangerous: chat goes on, and its messages do not get into the history. An entry in the outbox says how many and when (see Gap).
	OutboxDrop OutboxFull = "drop"
)

// Config says where the store is and what it may use. Only Dir is required; zero values mean the defaults.
type Config struct {
	// Dir is the directory of the store. It is created if it does not exist.
	Dir string
	// Durability is DurabilitySync by default.
	Durability Durability

	// MinFree is the free space, in bytes, below which transactions are refused, so that the disk is never really full. They are
	// accepted again when an eighth more than that is free. Default 256 MiB.
	MinFree int64
	// SpaceInterval is how often the free space is looked at. Default 200 ms.
	SpaceInterval time.Duration

	// MaxInFlight is how many transactions may be between Begin and the end of Committed; Begin waits beyond it. Default 256.
	MaxInFlight int
	// MaxBatchOps and MaxBatchBytes end a batch: no further transaction is put into it when it holds so many records or bytes.
	// Defaults 2,048 and 4 MiB.
	MaxBatchOps   int
	MaxBatchBytes int
	// SyncInterval is the least time between the starts of two batches; what comes meanwhile goes into the next one. An idle store
	// starts at once, and so does one for which a Begin waits. A sync costs 0.1 to 0.2 ms of CPU, so many small ones would be most
	// of what the server spends. Default 1 ms; negative for none.
	SyncInterval time.Duration
	// PipelineDepth is how many batches may be applied and not yet synced, 1 to 8. Default 4.
	PipelineDepth int

	// Outbox makes each commit keep its messages a second time, in order, until they are shipped to where the history is (see Outbox). Off by
	// default; then nothing of it is written.
	Outbox bool

	// OutboxMax is how many bytes of messages may wait in the outbox. From 80 % of it on there is an alarm. At it, OutboxFull decides, until less than
	// 95 % of it wait. A little more may wait than this: what was under way. Default 16 GiB, which is an hour at 10,000 messages/s of 450 bytes.
	OutboxMax int64
	// OutboxFull is OutboxRefuse by default.
	OutboxFull OutboxFull

	// Retention and RetentionBytes are how long, and up to how many bytes, messages are kept; 0 for no bound. Older ones are deleted, if there is an
	// outbox only after they are shipped. The last message of each conversation is always kept, and so are the states. Bytes are those of
	// the messages before compression.
	Retention      time.Duration
	RetentionBytes int64

	// CacheSize is the memory for blocks of the history, in bytes. Default 16 MiB.
	CacheSize int64
	// MemTableSize is the memory for what is not yet in tables, in bytes; up to four of them exist while one is flushed. It is
	// also about the size of the journal that is replayed at start. With an outbox both are twice that. Default 16 MiB.
	MemTableSize int64

	// TrimInterval is how often the store looks whether it is quiet, to give back the memory that a burst needed; two or three of them pass until
	// all of it is. Default 4 s.
	TrimInterval time.Duration
	// Release may give the pages of unused memory back to the system, and need not keep their contents; it is called by one goroutine at a time. Nil
	// gives nothing back.
	Release func(unused []byte)

	// ReopenMin and ReopenMax bound the wait before the store is opened again after a failure; it doubles from one to the other.
	// Defaults 50 ms and 5 s.
	ReopenMin time.Duration
	ReopenMax time.Duration

	// reclaim is how long ranges that were deleted may wait before they go to the disk, where they make room. Default 1 minute; tests change it.
	reclaim time.Duration
	// pruneInterval is how often the pruner looks, pruneStep how many records it looks at in one go. Defaults 1 s and 16,384; tests change them.
	pruneInterval time.Duration
	pruneStep     int
	// numbers is below what commits are numbered with from the opening on. Default the time in microseconds; tests change it. So the numbers go on growing
	// also in a store that was restored from a copy, or begun anew, beside a history that has the messages of the one before: the newer ones
	// are to replace the others there. No store commits a million times a second.
	numbers func() uint64

	// Logger gets what an operator should know. Default slog.Default().
	Logger *slog.Logger
	// Registerer gets the metrics. Nil registers none.
	Registerer prometheus.Registerer
}

func (c Config) withDefaults() Config {
	setDefault(&c.Durability, DurabilitySync)
	setDefault(&c.MinFree, 256<<20)
	setDefault(&c.SpaceInterval, 200*time.Millisecond)
	setDefault(&c.MaxInFlight, 256)
	setDefault(&c.MaxBatchOps, 2048)
	setDefault(&c.MaxBatchBytes, 4<<20)
	setDefault(&c.SyncInterval, time.Millisecond)
	setDefault(&c.PipelineDepth, 4)
	setDefault(&c.OutboxMax, 16<<30)
	setDefault(&c.OutboxFull, OutboxRefuse)
	setDefault(&c.CacheSize, 16<<20)
	setDefault(&c.MemTableSize, 16<<20)
	setDefault(&c.TrimInterval, 4*time.Second)
	if c.Release == nil {
		c.Release = func([]byte) {}
	}
	setDefault(&c.reclaim, time.Minute)
	setDefault(&c.pruneInterval, time.Second)
	setDefault(&c.pruneStep, 16<<10)
	if c.numbers == nil {
		c.numbers = func() uint64 { return uint64(max(0, time.Now().UnixMicro())) }
	}
	setDefault(&c.ReopenMin, 50*time.Millisecond)
	setDefault(&c.ReopenMax, 5*time.Second)
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	return c
}

func setDefault[T comparable](v *T, def T) {
	var zero T
	if *v == zero {
		*v = def
	}
}

// validate checks a configuration that has its defaults.
func (c Config) validate() error {
	var errs []error
	bad := func(name string, value any, remedy string) {
		errs = append(errs, fmt.Errorf("sink: %s is %v: %s", name, value, remedy))
	}
	if c.Dir == "" {
		bad("Dir", `""`, "name the directory of the store")
	}
	if c.Durability != DurabilitySync && c.Durability != DurabilityUnsafeNoFsync {
		bad("Durability", c.Durability, fmt.Sprintf("use %q or %q", DurabilitySync, DurabilityUnsafeNoFsync))
	}
	if c.MinFree < 0 {
		bad("MinFree", c.MinFree, "use 0 for the default, or a number of bytes")
	}
	if c.SpaceInterval < time.Millisecond {
		bad("SpaceInterval", c.SpaceInterval, "use at least 1ms")
	}
	if c.MaxInFlight < 1 || c.MaxInFlight > 1<<16 {
		bad("MaxInFlight", c.MaxInFlight, "use 1 to 65536")
	}
	if c.MaxBatchOps < 1 {
		bad("MaxBatchOps", c.MaxBatchOps, "use at least 1")
	}
	if c.MaxBatchBytes < 1 || c.MaxBatchBytes > 1<<30 {
		bad("MaxBatchBytes", c.MaxBatchBytes, "use 1 byte to 1 GiB")
	}
	if c.SyncInterval > time.Second {
		bad("SyncInterval", c.SyncInterval, "use at most 1s; messages wait for it")
	}
	if c.PipelineDepth < 1 || c.PipelineDepth > maxPipelineDepth {
		bad("PipelineDepth", c.PipelineDepth, fmt.Sprintf("use 1 to %d", maxPipelineDepth))
	}
	if c.Retention < 0 {
		bad("Retention", c.Retention, "use 0 to keep messages, or a duration")
	}
	if c.RetentionBytes < 0 {
		bad("RetentionBytes", c.RetentionBytes, "use 0 for no bound, or a number of bytes")
	}
	if c.OutboxMax < 0 {
		bad("OutboxMax", c.OutboxMax, "use 0 for the default, or a number of bytes")
	}
	if c.OutboxFull != OutboxRefuse && c.OutboxFull != OutboxDrop {
		bad("OutboxFull", c.OutboxFull, fmt.Sprintf("use %q or %q", OutboxRefuse, OutboxDrop))
	}
	if c.CacheSize < 0 {
		bad("CacheSize", c.CacheSize, "use 0 for the default, or a number of bytes")
	}
	if c.MemTableSize < 1<<20 || c.MemTableSize > 1<<30 {
		bad("MemTableSize", c.MemTableSize, "use 1 MiB to 1 GiB")
	}
	if c.TrimInterval < time.Millisecond {
		bad("TrimInterval", c.TrimInterval, "use at least 1ms")
	}
	if c.ReopenMin < time.Millisecond || c.ReopenMax < c.ReopenMin {
		bad("ReopenMin, ReopenMax", fmt.Sprint(c.ReopenMin, ", ", c.ReopenMax), "use at least 1ms, and no less for ReopenMax than for ReopenMin")
	}
	return errors.Join(errs...)
}
