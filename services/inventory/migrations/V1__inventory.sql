-- One row an ingredient, always there, so that it can be locked: whoever changes what is free or who waits locks these
-- rows first. `wanted` is what all waiting orders need, together.
CREATE TABLE stock (
    ingredient  TEXT NOT NULL PRIMARY KEY,
    opening     BIGINT,
    adjustments BIGINT NOT NULL DEFAULT 0,
    bought      BIGINT NOT NULL DEFAULT 0,
    reserved    BIGINT NOT NULL DEFAULT 0,
    released    BIGINT NOT NULL DEFAULT 0,
    on_hand     BIGINT NOT NULL DEFAULT 0 CHECK (on_hand >= 0),
    wanted      BIGINT NOT NULL DEFAULT 0 CHECK (wanted >= 0)
) WITHOUT ROWID;
INSERT INTO stock (ingredient) VALUES
    ('cheese'), ('chicken'), ('ketchup'), ('lemon'), ('lettuce'), ('meat'), ('onion'), ('potato'), ('rice'), ('tomato');

-- One row an order: waiting, reserved, released, left (the queue) or tombstone (cancelled before it asked).
CREATE TABLE reservations (
    order_id TEXT NOT NULL PRIMARY KEY,
    number   BIGINT NOT NULL,
    status   TEXT NOT NULL,
    needs    TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX reservations_waiting ON reservations (number, order_id) WHERE status = 'waiting';

-- One row a purchase: open (asked or to be asked, until the market answers), done or unknown.
CREATE TABLE purchases (
    id          TEXT NOT NULL PRIMARY KEY,
    ingredient  TEXT NOT NULL,
    status      TEXT NOT NULL,
    quantity    BIGINT NOT NULL DEFAULT 0,
    asked_at    BIGINT NOT NULL,
    answered_at BIGINT
) WITHOUT ROWID;
CREATE INDEX purchases_open ON purchases (id) WHERE status = 'open';

-- Adjustments already booked, by the key that their client gave: the same again changes nothing.
CREATE TABLE adjustments (
    key     TEXT NOT NULL PRIMARY KEY,
    asked   TEXT NOT NULL,
    changes TEXT NOT NULL,
    made_at BIGINT NOT NULL
) WITHOUT ROWID;
