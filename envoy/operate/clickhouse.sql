-- The table that envoy/examples/clickhouse.yaml writes to. Unknown is NULL, never 0. Fields that have no column are left out.
CREATE DATABASE IF NOT EXISTS meterr;

CREATE TABLE IF NOT EXISTS meterr.events
(
    id                 String,
    source             LowCardinality(String),
    type               LowCardinality(String),
    time               DateTime64(3, 'UTC'),
    tenant             LowCardinality(String),
    user               String,
    key_id             String,
    labels             Map(String, String),
    provider           LowCardinality(String),
    dialect            LowCardinality(String),
    operation          LowCardinality(String),
    request_model      LowCardinality(String),
    response_model     LowCardinality(String),
    status             Nullable(UInt16),
    outcome            LowCardinality(String),
    reason             LowCardinality(String),
    usage_status       LowCardinality(String),
    usage_flags        String,
    billable           Bool,
    stream             Bool,
    input_tokens       Nullable(UInt64),
    output_tokens      Nullable(UInt64),
    total_tokens       Nullable(UInt64),
    cache_read_tokens  Nullable(UInt64),
    cache_write_tokens Nullable(UInt64),
    reasoning_tokens   Nullable(UInt64),
    cost_usd           Nullable(Decimal(38, 12)),
    cost_status        LowCardinality(String),
    price_version      LowCardinality(String),
    duration_ms        Nullable(UInt64),
    ttft_ms            Nullable(UInt64),
    request_id         String,
    trace_id           String,
    writer             String,
    seq                UInt64
)
ENGINE = ReplacingMergeTree
PARTITION BY toYYYYMM(time)
-- What came twice is one row: events have the same time and id whenever they are sent.
ORDER BY (tenant, time, source, id);

-- What each team spent in each month.
CREATE VIEW IF NOT EXISTS meterr.spent AS
SELECT tenant, labels['team'] AS team, toStartOfMonth(time) AS month, sum(cost_usd) AS usd, sum(total_tokens) AS tokens, count() AS exchanges
FROM meterr.events FINAL
WHERE type = 'ai.meterr.usage.v1' AND billable
GROUP BY tenant, team, month;

-- Which numbers never came: there are none while this has no rows.
CREATE VIEW IF NOT EXISTS meterr.gaps AS
SELECT source, writer, max(seq) - uniqExact(seq) AS missing
FROM meterr.events FINAL
WHERE type != 'ai.meterr.heartbeat.v1'
GROUP BY source, writer
HAVING missing > 0;
