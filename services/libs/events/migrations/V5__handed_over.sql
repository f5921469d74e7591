-- Up to which place of the outbox the broker was given everything: what is behind it is offered. So nothing is marked one by
-- one any more where there is a broker.
ALTER TABLE broker ADD COLUMN handed_over BIGINT NOT NULL DEFAULT 0;
UPDATE broker SET handed_over = position;
DELETE FROM unpublished WHERE EXISTS (SELECT one FROM broker);
