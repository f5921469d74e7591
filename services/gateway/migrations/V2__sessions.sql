-- The sessions of browsers. Each belongs to the key whose link opened it, and is valid as long as that key has the hash that it had
-- then: another secret under the key's id is another key. Not rows of `keys`: a gateway of before would take them for keys.
CREATE TABLE sessions (
    id         TEXT NOT NULL PRIMARY KEY,
    key_id     TEXT NOT NULL,
    key_hash   TEXT NOT NULL,
    role       TEXT NOT NULL,
    hash       TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    ended_at   BIGINT
) WITHOUT ROWID;
