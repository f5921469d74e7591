-- What is to be done, and when.
CREATE TABLE timers (
    kind    TEXT NOT NULL,
    subject TEXT NOT NULL,
    due_at  BIGINT NOT NULL,
    PRIMARY KEY (kind, subject)
) WITHOUT ROWID;
CREATE INDEX timers_due ON timers (kind, due_at);
