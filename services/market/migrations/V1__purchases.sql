-- Each purchase: the intent before the farmers are called, the receipt once they have answered.
-- `under_way` is 1 from before a call until its outcome is known: after a crash it tells that something may be sold.
CREATE TABLE purchases (
    id          TEXT NOT NULL PRIMARY KEY,
    ingredient  TEXT NOT NULL,
    status      TEXT NOT NULL,
    under_way   BIGINT NOT NULL,
    quantity    BIGINT NOT NULL,
    asked_at    BIGINT NOT NULL,
    answered_at BIGINT
) WITHOUT ROWID;
CREATE INDEX purchases_open ON purchases (id) WHERE status = 'open';
