CREATE TABLE orders (
    number          {serial},
    id              TEXT NOT NULL,
    idempotency_key TEXT,
    lines           BIGINT NOT NULL,
    requested_dish  TEXT,
    dish            TEXT,
    status          TEXT NOT NULL,
    reason          TEXT,
    placed_at       BIGINT NOT NULL,
    ended_at        BIGINT,
    revision        BIGINT NOT NULL
);
CREATE UNIQUE INDEX orders_id ON orders (id);
CREATE UNIQUE INDEX orders_idempotency_key ON orders (idempotency_key) WHERE idempotency_key IS NOT NULL;
CREATE INDEX orders_open ON orders (number) WHERE ended_at IS NULL;

-- The last running number given.
CREATE TABLE numbering (
    name TEXT NOT NULL PRIMARY KEY,
    last BIGINT NOT NULL
);
INSERT INTO numbering (name, last) VALUES ('orders', 0);

-- The dishes that can be ordered, from the kitchen's last `menu.changed`.
CREATE TABLE menu (
    dish TEXT NOT NULL PRIMARY KEY
);
CREATE TABLE menu_version (
    name    TEXT NOT NULL PRIMARY KEY,
    version BIGINT NOT NULL
);
INSERT INTO menu_version (name, version) VALUES ('menu', 0);
