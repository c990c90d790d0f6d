-- One row for each message. Rows with one (conv_id, seq) replace each other: the highest version stays, and none is left if it says
-- deleted. sent_at never changes, since rows of different partitions are never merged.
-- text is what a search finds: the body if it is a text, else the texts in it. body is the msgpack value as it came, empty if it is
-- just the text.
CREATE TABLE IF NOT EXISTS messages
(
    conv_id   UUID,
    seq       UInt64               CODEC(Delta, ZSTD(1)),
    prev      UInt64               CODEC(Delta, ZSTD(1)),
    sent_at   DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    sender    String               CODEC(ZSTD(1)),
    client_id UUID,
    kind      UInt8                CODEC(ZSTD(1)),
    text      String               CODEC(ZSTD(1)),
    body      String               CODEC(ZSTD(1)),
    version   UInt64               CODEC(Delta, ZSTD(1)),
    deleted   UInt8                CODEC(ZSTD(1)),
    INDEX text_words text TYPE text(tokenizer = splitByNonAlpha, preprocessor = lowerUTF8(text))
)
ENGINE = ReplacingMergeTree(version, deleted)
PARTITION BY toYYYYMM(sent_at)
ORDER BY (conv_id, seq)
SETTINGS index_granularity = 1024, non_replicated_deduplication_window = 10000, ttl_only_drop_parts = 1
