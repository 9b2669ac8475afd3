-- compatible from: 0001
-- Counts how often the changes of its address that an account has asked for were voided. A request whose mail is not
-- written yet names the count that it was made at, and is void at another one.
ALTER TABLE credentials ADD email_change_generation bigint NOT NULL DEFAULT 1;
