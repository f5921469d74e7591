-- How long the deliveries of each dish took, from here on: in each bucket of a dish, named by its lower bound in microseconds, how
-- many there were. The buckets are those of the counters `delivery_us:`.
CREATE TABLE dish_deliveries (
    dish       TEXT NOT NULL,
    bucket     BIGINT NOT NULL,
    deliveries BIGINT NOT NULL,
    PRIMARY KEY (dish, bucket)
) WITHOUT ROWID;
