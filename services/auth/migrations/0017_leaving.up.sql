-- compatible from: 0001
-- When the account was last about to be deleted. Whether it was is known to the user service; until then it does not
-- count among the admins who are left.
ALTER TABLE credentials ADD leave_time timestamptz;
CREATE INDEX credentials_by_leave_time ON credentials (leave_time) WHERE leave_time IS NOT NULL;
