-- The response to each request that was sent with an Idempotency-Key and changed something, for its repeats. `seq` is the
-- order in which they were saved, in which retention removes them.
CREATE TABLE kept_responses (
    seq         {serial},
    key         TEXT NOT NULL,
    caller      TEXT NOT NULL,
    operation   TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    status      BIGINT NOT NULL,
    body        TEXT NOT NULL,
    saved_at    BIGINT NOT NULL
);
CREATE UNIQUE INDEX kept_responses_key ON kept_responses (key, caller, operation);
