ALTER TABLE credentials DROP suspend_time;
