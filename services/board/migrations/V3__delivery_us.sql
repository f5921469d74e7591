-- Delivery times in microseconds, in buckets with 16 to a doubling, named by their lower bounds. A bucket of before, from
-- 2^(n-1) to below 2^n ms, becomes the one that holds its middle: 1,500 * 2^(n-1) us is in the one from 1,472 * 2^(n-1).
UPDATE counters SET name = 'delivery_us:sum', value = value * 1000 WHERE name = 'delivery:sum_ms';
UPDATE counters SET name = 'delivery_us:496' WHERE name = 'delivery:0';
UPDATE counters
    SET name = 'delivery_us:' || (CAST(1472 AS BIGINT) << (CAST(substr(name, 10) AS INTEGER) - 1))
    WHERE name LIKE 'delivery:%';
