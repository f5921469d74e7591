-- The menu's version; whoever changes recipes locks it first.
CREATE TABLE menu (
    id      BIGINT NOT NULL PRIMARY KEY,
    version BIGINT NOT NULL
) WITHOUT ROWID;
INSERT INTO menu (id, version) VALUES (1, 0);

-- A recipe has the version of the menu that it last changed with.
CREATE TABLE recipes (
    name            TEXT NOT NULL PRIMARY KEY,
    version         BIGINT NOT NULL,
    needs           TEXT NOT NULL,
    cooking_time_ms BIGINT NOT NULL
) WITHOUT ROWID;
