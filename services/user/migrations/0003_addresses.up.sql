-- compatible from: 0001
-- Addresses that are proven, and that change.
ALTER TABLE users
  ADD email_version bigint NOT NULL DEFAULT 1,  -- grows with each change of the address
  ADD verify_time   timestamptz;                -- when the owner has shown that he reads mail there; NULL: not yet

-- Addresses that accounts have had and may get back (an undone change), so nobody else may take one until then. In lower
-- case.
CREATE TABLE held_addresses (
  email       text PRIMARY KEY,
  user_id     uuid NOT NULL REFERENCES users ON DELETE CASCADE,
  expire_time timestamptz NOT NULL
);
CREATE INDEX held_addresses_by_user ON held_addresses (user_id);
CREATE INDEX held_addresses_by_expire_time ON held_addresses (expire_time);

-- Looks after the row is in the index of addresses: who had to wait there for the change that freed an address sees that
-- it is held.
CREATE FUNCTION refuse_held_address() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
  IF EXISTS (SELECT FROM held_addresses
             WHERE email = lower(NEW.email) AND user_id <> NEW.id AND expire_time > now()) THEN
    RAISE unique_violation USING MESSAGE = 'the address is held for another account', CONSTRAINT = 'users_email_key';
  END IF;
  RETURN NULL;
END
$$;
CREATE TRIGGER held AFTER INSERT OR UPDATE OF email ON users FOR EACH ROW EXECUTE FUNCTION refuse_held_address();
