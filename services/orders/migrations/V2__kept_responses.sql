-- Repeated requests are known by `kept_responses`, which every service has.
DROP INDEX orders_idempotency_key;
ALTER TABLE orders DROP COLUMN idempotency_key;
ALTER TABLE orders DROP COLUMN lines;
