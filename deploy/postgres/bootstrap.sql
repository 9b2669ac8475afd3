-- One service's part of the database: a schema, the role that owns and migrates it (bulkhead_NAME_owner), and the role that
-- the service works with (bulkhead_NAME). That one reads and changes rows; it can neither change the schema nor make temporary
-- tables, and no other service's role can see it.
--
-- Run it as a superuser, once for each service, in the suite's database. Repeating it is safe: it sets the passwords again, and
-- gives the owner what an earlier version of this file gave to the service's role. The variables come by standard input, because
-- a command line can be seen by others:
--   { printf "\\set service item\n\\set password '...'\n\\set owner_password '...'\n"; cat bootstrap.sql; } | psql -f -
-- `connections` limits the service's role: 18 for each instance are needed, 19 of item, 60 are allowed unless it is set.
\set ON_ERROR_STOP on
\if :{?connections}
\else
\set connections 60
\endif
\set role bulkhead_ :service
\set owner bulkhead_ :service _owner
-- A statement that fails would be logged, with the password in it.
SET log_min_error_statement = panic;
SET client_min_messages = warning;

-- All or nothing, so that a service that runs is not without its rights in between.
BEGIN;
SELECT NOT EXISTS (SELECT FROM pg_roles WHERE rolname = :'role') AS is_new \gset
\if :is_new
CREATE ROLE :"role";
\endif
SELECT NOT EXISTS (SELECT FROM pg_roles WHERE rolname = :'owner') AS is_new \gset
\if :is_new
CREATE ROLE :"owner";
\endif
ALTER ROLE :"role" LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS NOINHERIT
  CONNECTION LIMIT :connections PASSWORD :'password';
-- Instances that start together wait for one another's migrations on a connection each.
ALTER ROLE :"owner" LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS NOINHERIT
  CONNECTION LIMIT 20 PASSWORD :'owner_password';
ALTER ROLE :"role" SET search_path = :"service";
ALTER ROLE :"owner" SET search_path = :"service";

CREATE SCHEMA IF NOT EXISTS :"service" AUTHORIZATION :"owner";
REASSIGN OWNED BY :"role" TO :"owner";
REVOKE ALL ON SCHEMA :"service" FROM PUBLIC, :"role";
GRANT USAGE ON SCHEMA :"service" TO :"role";
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA :"service" TO :"role";
GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA :"service" TO :"role";
ALTER DEFAULT PRIVILEGES FOR ROLE :"owner" IN SCHEMA :"service"
  GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO :"role";
ALTER DEFAULT PRIVILEGES FOR ROLE :"owner" IN SCHEMA :"service" GRANT USAGE, SELECT ON SEQUENCES TO :"role";

-- The lists of what was applied are the owner's to write; migrations that make them take the rights away, too.
SELECT format('REVOKE INSERT, UPDATE, DELETE ON %I.%I FROM %I', schemaname, tablename, :'role') FROM pg_tables
WHERE schemaname = :'service' AND tablename IN ('schema_migrations', 'common_migrations') \gexec
-- Logs that only grow are marked by the migrations that make them.
SELECT format('REVOKE UPDATE, DELETE ON %s FROM %I', oid::regclass, :'role') FROM pg_class
WHERE relnamespace = :'service'::regnamespace AND relkind = 'r' AND obj_description(oid, 'pg_class') LIKE 'append-only%' \gexec

-- Nothing in the shared schema is for the services, and only they may connect.
REVOKE ALL ON SCHEMA public FROM PUBLIC;
SELECT current_database() AS database \gset
REVOKE ALL ON DATABASE :"database" FROM PUBLIC, :"role", :"owner";
GRANT CONNECT ON DATABASE :"database" TO :"role", :"owner";
COMMIT;

-- All instances of all services must find room at the same time.
DO $$
DECLARE
  allowed bigint;
  open bigint := current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int;
BEGIN
  SELECT sum(rolconnlimit) INTO allowed FROM pg_roles JOIN pg_namespace ON rolname = 'bulkhead_' || nspname;
  IF allowed > open THEN
    RAISE WARNING 'the services may open % connections together, and PostgreSQL takes %: raise max_connections, or allow them fewer',
      allowed, open;
  END IF;
END $$;
