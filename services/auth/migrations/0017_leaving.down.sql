ALTER TABLE credentials DROP leave_time;
