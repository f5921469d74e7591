-- What the simulated market is told to be (JSON), how far its draws are, and the preset that it took its settings from (JSON).
CREATE TABLE market_sim (
    id       BIGINT NOT NULL PRIMARY KEY,
    settings TEXT NOT NULL,
    preset   TEXT NOT NULL,
    calls    BIGINT NOT NULL,
    drawn    BIGINT NOT NULL
);

-- Each sale once, by its key. `is_purchase` tells the keys that are UUIDs from those of passers-by.
CREATE TABLE sales (
    key         TEXT NOT NULL PRIMARY KEY,
    is_purchase BIGINT NOT NULL,
    ingredient  TEXT NOT NULL,
    quantity    BIGINT NOT NULL,
    sold_at     BIGINT NOT NULL
) WITHOUT ROWID;

-- What was sold of each ingredient, in how many sales.
CREATE TABLE stands (
    ingredient TEXT NOT NULL PRIMARY KEY,
    sold       BIGINT NOT NULL,
    sales      BIGINT NOT NULL
) WITHOUT ROWID;
