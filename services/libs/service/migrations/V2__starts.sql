-- How often a process of this service has started on this database, and when the last one did.
CREATE TABLE starts (
    one        BIGINT NOT NULL PRIMARY KEY CHECK (one = 1),
    starts     BIGINT NOT NULL,
    started_at BIGINT NOT NULL
) WITHOUT ROWID;
