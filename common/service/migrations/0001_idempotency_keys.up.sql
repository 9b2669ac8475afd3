-- The answered calls that carried an Idempotency-Key, of the last 24 hours. A row is written in the transaction of the
-- call's effect. Neither the key nor the request is here, only hashes of them: a request may hold a password, and its
-- hash cannot be tried out without the key.
CREATE TABLE idempotency_keys (
  -- SHA-256 of the caller, the method and the key.
  id           bytea PRIMARY KEY,
  -- SHA-256 of those and of the request.
  request_hash bytea NOT NULL,
  -- The reply's bytes; NULL where it holds secrets and is not kept.
  reply        bytea,
  create_time  timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX idempotency_keys_by_create_time ON idempotency_keys (create_time);
