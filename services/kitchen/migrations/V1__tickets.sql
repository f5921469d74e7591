-- One ticket an order, with the recipe as it was when the ticket was opened.
CREATE TABLE tickets (
    order_id        TEXT NOT NULL PRIMARY KEY,
    number          BIGINT NOT NULL,
    status          TEXT NOT NULL,
    dish            TEXT NOT NULL,
    recipe_version  BIGINT NOT NULL,
    needs           TEXT NOT NULL,
    cooking_time_ms BIGINT NOT NULL,
    traceparent     TEXT
) WITHOUT ROWID;
-- Only what is open, so that neither counting it nor taking the next ticket slows down with the years.
CREATE INDEX tickets_open ON tickets (status, number) WHERE status IN ('requested', 'reserved', 'cooking');
