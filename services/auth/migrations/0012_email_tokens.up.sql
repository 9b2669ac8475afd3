-- compatible from: 0001
-- Tokens that prove, change and give back addresses.
ALTER TABLE account_tokens
  DROP CONSTRAINT account_tokens_purpose_check,
  ADD CONSTRAINT account_tokens_purpose_check
    CHECK (purpose IN ('reset_password', 'verify_email', 'change_email', 'undo_email')),
  ADD other_email   text NOT NULL DEFAULT '',   -- of a change: the address before; of an undo: the address that goes
  ADD email_version bigint NOT NULL DEFAULT 0,  -- of a change and its undo: the version of the address before
  ADD settle_time   timestamptz;                -- when what follows the change or undo was done

-- Mails about new devices: how many within an hour, which began at device_time. NULL: nobody has logged in yet.
ALTER TABLE credentials
  ADD device_time  timestamptz,
  ADD device_mails bigint NOT NULL DEFAULT 0;
