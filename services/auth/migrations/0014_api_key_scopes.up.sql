-- compatible from: 0001
-- What a key may do of what its account may. A key of a release before has none, and may do nothing.
ALTER TABLE api_keys ADD scopes text[] NOT NULL DEFAULT '{}';
