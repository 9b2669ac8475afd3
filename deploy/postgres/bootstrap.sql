-- One service's part of the database: its role, and the one schema that this role owns and that no other role can read.
-- Run it as a superuser, once for each service, in the suite's database; repeating it is safe and sets the password again:
--   psql -v service=item -v password=... -f bootstrap.sql
\set ON_ERROR_STOP on
\set role bulkhead_ :service

SELECT NOT EXISTS (SELECT FROM pg_roles WHERE rolname = :'role') AS is_new \gset
\if :is_new
CREATE ROLE :"role" LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOINHERIT;
\endif
ALTER ROLE :"role" PASSWORD :'password';
CREATE SCHEMA IF NOT EXISTS :"service" AUTHORIZATION :"role";
REVOKE ALL ON SCHEMA :"service" FROM PUBLIC;
ALTER ROLE :"role" SET search_path = :"service";
-- Nothing in the shared schema is for the services, and only they may connect.
REVOKE ALL ON SCHEMA public FROM PUBLIC;
SELECT current_database() AS database \gset
REVOKE ALL ON DATABASE :"database" FROM PUBLIC;
GRANT CONNECT ON DATABASE :"database" TO :"role";
