-- Events of types that this version does not know, and later events about their subjects: kept in order for a version that
-- knows them.
CREATE TABLE deferred_events (
    seq         {serial},
    id          TEXT NOT NULL,
    kind        TEXT NOT NULL,
    subject     TEXT NOT NULL,
    event       TEXT NOT NULL,
    deferred_at BIGINT NOT NULL
);
CREATE UNIQUE INDEX deferred_events_id ON deferred_events (id);
CREATE INDEX deferred_events_subject ON deferred_events (subject, seq);
