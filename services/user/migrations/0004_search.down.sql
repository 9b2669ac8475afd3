DROP INDEX users_by_name_begin;
DROP INDEX users_by_email_begin;
