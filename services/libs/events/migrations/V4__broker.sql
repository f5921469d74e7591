-- The broker that carries the events, if there is one: which it is, and up to which place of the outbox everyone who reads
-- has acknowledged everything.
CREATE TABLE broker (
    one      BIGINT NOT NULL PRIMARY KEY CHECK (one = 1),
    identity TEXT NOT NULL,
    position BIGINT NOT NULL
) WITHOUT ROWID;
