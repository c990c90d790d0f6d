-- What was accepted and never reached the history, because the operator chose to drop it when the outbox was full. A gap that is still
-- growing is written again with more lost rows.
CREATE TABLE IF NOT EXISTS history_gaps
(
    source  String,
    number  UInt64,
    from_at DateTime64(3, 'UTC'),
    to_at   DateTime64(3, 'UTC'),
    lost    UInt64
)
ENGINE = ReplacingMergeTree(lost)
ORDER BY (source, number)
SETTINGS non_replicated_deduplication_window = 10000
