-- How many events are no longer kept, by the side that they were removed from and their name.
CREATE TABLE removed (
    side    TEXT NOT NULL,
    name    TEXT NOT NULL,
    removed BIGINT NOT NULL,
    PRIMARY KEY (side, name)
) WITHOUT ROWID;

-- The largest id of an event that was removed; empty while none was.
CREATE TABLE horizons (
    side      TEXT NOT NULL PRIMARY KEY,
    before_id TEXT NOT NULL
) WITHOUT ROWID;
INSERT INTO horizons (side, before_id) VALUES ('outbox', ''), ('inbox', '');
