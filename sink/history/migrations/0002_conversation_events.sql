-- What happened to conversations, for reports: one row for each message that is an event, beside its row in messages.
CREATE TABLE IF NOT EXISTS conversation_events
(
    conv_id    UUID,
    seq        UInt64               CODEC(Delta, ZSTD(1)),
    at         DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    event      LowCardinality(String),
    group_name LowCardinality(String),
    visitor    String               CODEC(ZSTD(1)),
    agent      String               CODEC(ZSTD(1)),
    actor      String               CODEC(ZSTD(1)),
    reason     String               CODEC(ZSTD(1)),
    rating     UInt8,
    comment    String               CODEC(ZSTD(1)),
    version    UInt64               CODEC(Delta, ZSTD(1)),
    deleted    UInt8
)
ENGINE = ReplacingMergeTree(version, deleted)
PARTITION BY toYYYYMM(at)
ORDER BY (conv_id, seq)
SETTINGS index_granularity = 1024, non_replicated_deduplication_window = 10000, ttl_only_drop_parts = 1
