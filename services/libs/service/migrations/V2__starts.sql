-- How many processes of this service have started on this database and found it sound, and when the last one started.
CREATE TABLE starts (
    one        BIGINT NOT NULL PRIMARY KEY CHECK (one = 1),
    starts     BIGINT NOT NULL,
    started_at BIGINT NOT NULL
) WITHOUT ROWID;
