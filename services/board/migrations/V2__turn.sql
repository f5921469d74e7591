-- Held by the replica whose turn it is to add to the counters, from before it adds the first.
CREATE TABLE turn (
    id BIGINT NOT NULL PRIMARY KEY
);
INSERT INTO turn (id) VALUES (1);
