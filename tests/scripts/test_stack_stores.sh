#!/usr/bin/env bash
# The private stores: PostgreSQL lets nobody in without a password, also with the data of an earlier version or after its secrets
# were lost; bootstrap.sql may be repeated while a service works, and says where its limits do not fit the server; Redis' users have the passwords that their files say.
# shellcheck source=tests/scripts/support.sh
. "$(dirname "$0")/support.sh"
ROOT=$PWD
# shellcheck source=deploy/local/lib.sh
. "$ROOT/deploy/local/lib.sh"
RUN_DIR=$folder
chmod 711 "$RUN_DIR"
prepare_run_dir
INITDB_OPTIONS=(--no-sync)
PG_OPTIONS=(-c fsync=off)

tidy_up() {
  halt redis TERM 5
  halt postgres INT 20
  remove_sockets
}

as_stranger() { PGPASSFILE=/nonexistent "$PG_BIN/psql" -wXqAt -h "$PG_SOCKET" -U postgres -c 'SELECT 1' postgres; }
is_closed() {
  as_stranger >/dev/null 2>&1 && fail "$1: a stranger gets in as superuser"
  [ "$(super_psql bulkhead -c 'SELECT 1')" = 1 ] || fail "$1: the superuser does not get in"
  [ "$("$PG_BIN/psql" -XAt -c 'SELECT 1' "$PG_SUPER")" = 1 ] || fail "$1: the connection string does not work"
}
restart_postgres() {
  halt postgres INT 20
  start_postgres || fail "PostgreSQL does not start"
}

# PostgreSQL's user owns its folder, and puts a link to a file of root's there.
echo "root's" >"$folder/precious"
chmod 600 "$folder/precious"
if [ "$(id -u)" -eq 0 ]; then
  find_postgres
  mkdir "$PG_HOME" && ln -s "$folder/precious" "$PG_HOME/password"
  (start_postgres) >/dev/null 2>&1
  [ "$(stat -c %U "$folder/precious") $(cat "$folder/precious")" = "root root's" ] || fail "root follows a link of PostgreSQL's user"
  rm "$PG_HOME/password"
fi

start_postgres || fail "PostgreSQL does not start"
is_closed "a new cluster"
super_psql bulkhead -c 'CREATE TABLE kept (it int)'

halt postgres INT 20
printf 'local all postgres trust\nlocal all all scram-sha-256\n' >"$PG_HOME/data/pg_hba.conf"
rm -rf "$RUN_DIR/secrets"
start_postgres || fail "PostgreSQL does not start with the data of an earlier version"
is_closed "the data of an earlier version"
super_psql bulkhead -c 'SELECT * FROM kept' || fail "the data of an earlier version are gone"

rm -rf "$RUN_DIR/secrets"
restart_postgres
is_closed "secrets that were lost"
rotate_pg_superuser || fail "the superuser gets no new password"
is_closed "a new password"
restart_postgres
is_closed "a new password after a restart"

# ---- a service's roles ----

as_service() { "$PG_BIN/psql" -XqAt -c "$1" "$(cat "$RUN_DIR/secrets/pg_conninfo_item")" 2>&1; }
as_owner() { "$PG_BIN/psql" -XqAt -c "$1" "$(cat "$RUN_DIR/secrets/pg_migrate_conninfo_item")" 2>&1; }

{ prepare_database item 2 && keep_conninfo item; } || fail "bootstrap.sql"
as_owner 'CREATE TABLE things (id serial PRIMARY KEY)' || fail "the owner cannot make tables"
as_service 'INSERT INTO things DEFAULT VALUES; DELETE FROM things' || fail "the service cannot change rows of a new table"
as_owner 'CREATE TABLE schema_migrations (version int)' || fail "the owner cannot make a list of migrations"
prepare_database item 2 || fail "bootstrap.sql cannot be repeated"
case $(as_service 'DELETE FROM schema_migrations') in *"permission denied"*) ;; *) fail "the service can change the list of migrations" ;; esac
case $(as_service 'DROP TABLE things') in *"must be owner"*) ;; *) fail "the service can drop a table" ;; esac

# The service reads all the time while its database is prepared again.
(while [ ! -e "$RUN_DIR/prepared" ]; do echo 'SELECT count(*) FROM things;'; done) |
  "$PG_BIN/psql" -XqAt -v ON_ERROR_STOP=1 "$(cat "$RUN_DIR/secrets/pg_conninfo_item")" >/dev/null 2>"$RUN_DIR/refused" &
reader=$!
for _ in 1 2 3 4 5; do rotate_pg item 2 || fail "bootstrap.sql cannot be repeated"; done
touch "$RUN_DIR/prepared"
wait "$reader" || fail "the service lost its rights for a moment: $(cat "$RUN_DIR/refused")"
as_service 'SELECT 1' >/dev/null || fail "the new password does not work"

# ---- how many connections there are ----

limit_of_item() { super_psql bulkhead -c "SELECT rolconnlimit FROM pg_roles WHERE rolname = 'bulkhead_item'"; }
[ "$(limit_of_item)" = 60 ] || fail "two instances may open $(limit_of_item) connections"
said=$(PG_POOL_SIZE=30 prepare_database item 5 2>&1) || fail "bootstrap.sql: $said"
[ "$(limit_of_item)" = 252 ] || fail "five instances with 42 connections each and a successor may open $(limit_of_item)"
case $said in *"may open 252 connections together, and PostgreSQL takes 197: raise max_connections"*) ;; *) fail "252 of 197 are not told: $said" ;; esac
halt postgres INT 20
PG_ROOM=300 start_postgres || fail "PostgreSQL does not start with room for 300 connections"
said=$(PG_POOL_SIZE=30 prepare_database item 5 2>&1)
[ -z "$said" ] || fail "with room for 300 connections 252 are told: $said"
prepare_database item 2 || fail "the limit cannot be lowered"

# ---- Redis ----

start_redis item user || fail "Redis does not start"
as_user() { printf 'AUTH %s %s\n%s\n' "$1" "$2" "$3" | redis-cli -s "$REDIS_SOCKET"; }
old=$(secret redis_item)
as_user item "$old" "SET item:x 1" | grep -qx OK || fail "a service cannot set a key of its own"
as_user user "$(secret redis_user)" "GET item:x" | grep -q NOPERM || fail "a service can read another's key"
rotate_redis item || fail "Redis takes no new password"
as_user item "$old" PING | grep -q WRONGPASS || fail "the old password still holds"
as_user item "$(secret redis_item)" PING | grep -qx PONG || fail "the new password does not hold"
halt redis TERM 5
start_redis item user || fail "Redis does not start again"
as_user item "$(secret redis_item)" PING | grep -qx PONG || fail "the new password does not hold after a restart"
[ -z "$(find "$RUN_DIR/secrets" -perm /077)" ] || fail "others can read secrets"
