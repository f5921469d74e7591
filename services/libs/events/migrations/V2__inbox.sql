-- Events already acted on: the same event again changes nothing.
CREATE TABLE inbox (
    id         TEXT NOT NULL PRIMARY KEY,
    name       TEXT NOT NULL,
    handled_at BIGINT NOT NULL
) WITHOUT ROWID;

-- Events that could not be acted on.
CREATE TABLE dead_letters (
    id        TEXT NOT NULL PRIMARY KEY,
    kind      TEXT NOT NULL,
    subject   TEXT NOT NULL,
    event     TEXT NOT NULL,
    error     TEXT NOT NULL,
    attempts  BIGINT NOT NULL,
    failed_at BIGINT NOT NULL
) WITHOUT ROWID;
