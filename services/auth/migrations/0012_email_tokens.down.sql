DELETE FROM account_tokens WHERE purpose <> 'reset_password';
ALTER TABLE account_tokens
  DROP CONSTRAINT account_tokens_purpose_check,
  ADD CONSTRAINT account_tokens_purpose_check CHECK (purpose IN ('reset_password')),
  DROP other_email, DROP email_version, DROP settle_time;
ALTER TABLE credentials DROP device_time, DROP device_mails;
