-- compatible from: 0001
-- Since when the account is suspended: nobody may sign in to it. An earlier release does not look at it, but finds its
-- sessions ended.
ALTER TABLE credentials ADD suspend_time timestamptz;
