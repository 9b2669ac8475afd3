DROP TABLE endings;
DROP TABLE session_branches;
DROP INDEX sessions_by_legacy_hash;
ALTER TABLE sessions
  DROP family_hash, DROP current_hash, DROP previous_hash, DROP spend_time, DROP legacy_hash, DROP last_branch,
  DROP device_name, DROP address;
