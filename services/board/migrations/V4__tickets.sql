-- The orders that viewers see: all in flight, and the last ones that ended. A row begins with the first event of its order that is
-- heard, which may be a later one than `order.placed`: then it has no number yet.
CREATE TABLE tickets (
    id         TEXT NOT NULL PRIMARY KEY,
    number     BIGINT,
    dish       TEXT,
    -- The place of the state among all states: the farthest counts.
    state      BIGINT NOT NULL,
    placed_at  BIGINT,
    changed_at BIGINT NOT NULL,
    ended_at   BIGINT,
    stove      BIGINT,
    -- What was missing when it began to wait, as JSON.
    missing    TEXT
) WITHOUT ROWID;
CREATE INDEX tickets_in_flight ON tickets (number) WHERE ended_at IS NULL;
CREATE INDEX tickets_ended ON tickets (ended_at) WHERE ended_at IS NOT NULL;
-- Grows with each commit that changes the board, in the order of the commits: each such transaction updates this row first.
ALTER TABLE turn ADD COLUMN revision BIGINT NOT NULL DEFAULT 0;
