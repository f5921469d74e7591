-- What was told: the story of every subject.
CREATE TABLE outbox (
    seq         {serial},
    id          TEXT NOT NULL,
    kind        TEXT NOT NULL,
    subject     TEXT NOT NULL,
    time        BIGINT NOT NULL,
    traceparent TEXT,
    data        TEXT NOT NULL
);
CREATE UNIQUE INDEX outbox_id ON outbox (id);
CREATE INDEX outbox_subject ON outbox (subject);

-- What is on its way out: a small table of its own, so that the large one is written once and never changed.
CREATE TABLE unpublished (
    seq BIGINT NOT NULL PRIMARY KEY
) WITHOUT ROWID;
