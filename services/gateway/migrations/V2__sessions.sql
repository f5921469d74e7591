-- A session is a key that a browser shows in a cookie and that ends by itself. It belongs to the key whose link opened it.
ALTER TABLE keys ADD COLUMN session_of TEXT;
ALTER TABLE keys ADD COLUMN expires_at BIGINT;
