-- The stoves, from 1. One that is to go while something is on it is retiring until that is prepared.
CREATE TABLE stoves (
    number   BIGINT NOT NULL PRIMARY KEY,
    ticket   TEXT,
    retiring BIGINT NOT NULL
) WITHOUT ROWID;
CREATE UNIQUE INDEX stoves_ticket ON stoves (ticket) WHERE ticket IS NOT NULL;

-- The rail on which the reserved tickets hang: whoever changes a ticket or a stove locks its one row first, so that
-- cooks of several replicas take turns and can't block each other.
CREATE TABLE rail (
    id    BIGINT NOT NULL PRIMARY KEY,
    turns BIGINT NOT NULL
) WITHOUT ROWID;
INSERT INTO rail (id, turns) VALUES (1, 0);
