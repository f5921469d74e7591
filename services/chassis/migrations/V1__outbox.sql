-- Events on their way out, and the story of every subject afterwards.
CREATE TABLE outbox (
    seq          {serial},
    id           TEXT NOT NULL,
    kind         TEXT NOT NULL,
    subject      TEXT NOT NULL,
    time         BIGINT NOT NULL,
    traceparent  TEXT,
    data         TEXT NOT NULL,
    published_at BIGINT
);
CREATE UNIQUE INDEX outbox_id ON outbox (id);
CREATE INDEX outbox_subject ON outbox (subject);
CREATE INDEX outbox_unpublished ON outbox (seq) WHERE published_at IS NULL;
