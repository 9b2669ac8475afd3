ALTER TABLE endings ALTER expire_time DROP DEFAULT;
DROP FUNCTION ending_expire_time();
