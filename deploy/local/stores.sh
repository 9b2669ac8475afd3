# shellcheck shell=bash
# PostgreSQL, Redis and Consul of a run's own: their files, users and passwords, and how they start. Sourced by deploy/local/lib.sh.

# ---- PostgreSQL ----

find_pg_bin() {
  local folder
  PG_BIN=
  for folder in /usr/lib/postgresql/*/bin ${BULKHEAD_PG_BIN:+"$BULKHEAD_PG_BIN"}; do
    [ -x "$folder/postgres" ] && PG_BIN=$(cd "$folder" && pwd)
  done
  [ -n "$PG_BIN" ] || die "no PostgreSQL server is installed; run: make deps"
}

# PostgreSQL refuses root: then it runs as the package's own user. That user must reach its files, which it cannot below a
# closed home folder such as /root; then they live in /var/tmp, under a name made from the run folder's path.
prepare_pg_user() {
  PG_AS=()
  PG_HOME=$RUN_DIR/postgres
  [ "$(id -u)" -eq 0 ] || return 0
  # The kernel forgets at a change of the user which signal the death of the parent brings: it is asked for again.
  PG_AS=(setpriv --reuid=postgres --regid=postgres --init-groups ${DIE_WITH_US:+--pdeathsig "$DIE_WITH_US"} --)
  if ! "${PG_AS[@]}" test -x "$RUN_DIR"; then
    PG_HOME=/var/tmp/bulkhead-$(printf %s "$RUN_DIR" | sha256sum | cut -c1-16)
  fi
}

# Prints the fastest compression of the WAL that this server was built with. After a checkpoint the first change of each page
# logs the whole page, and pglz, which `on` means, then takes a sixth of the time that a change costs.
wal_compression() {
  "${PG_AS[@]}" "$PG_BIN/postgres" -D "$PG_HOME/data" -c wal_compression=lz4 -C wal_compression 2>/dev/null || echo on
}

# Sets PG_SOCKET, and how a superuser connects: PG_SUPER is a connection string, PGPASSFILE has its password.
find_postgres() {
  find_pg_bin
  prepare_pg_user
  PG_SOCKET=$SOCKETS/pg
  PG_PASSFILE=$RUN_DIR/secrets/pgpass
  # shellcheck disable=SC2034  # for those who source this
  PG_SUPER="host=$PG_SOCKET user=postgres dbname=bulkhead passfile='$PG_PASSFILE'"
}

# super_psql DATABASE ARGUMENT...
super_psql() {
  local database=$1
  shift
  PGPASSFILE=$PG_PASSFILE "$PG_BIN/psql" -XqAt -h "$PG_SOCKET" -U postgres "$@" "$database"
}

# write_for_postgres FILE: writes standard input to a file that only PostgreSQL's user can read, and as that user: it owns the folder, and
# root would follow a link that it has put there.
write_for_postgres() {
  # shellcheck disable=SC2016  # the shell in there expands it
  (cd / && "${PG_AS[@]}" sh -c 'umask 077 && cat >"$1"' sh "$1")
}

# make_cluster: the superuser's password is in the file from the first moment.
make_cluster() {
  # The cluster has another name until it is complete.
  rm -rf "$PG_HOME/data" "$PG_HOME/data.new"
  secret pg_superuser | write_for_postgres "$PG_HOME/password" || return 1
  (cd / && "${PG_AS[@]}" "$PG_BIN/initdb" -D "$PG_HOME/data.new" -U postgres --auth=scram-sha-256 \
    --pwfile="$PG_HOME/password" --encoding=UTF8 --locale=C.UTF-8 --no-instructions "${INITDB_OPTIONS[@]}") \
    >"$RUN_DIR/log/initdb.log" 2>&1 || {
    rm -f "$PG_HOME/password"
    cat "$RUN_DIR/log/initdb.log" >&2
    return 1
  }
  rm -f "$PG_HOME/password"
  mv "$PG_HOME/data.new" "$PG_HOME/data"
}

# Gives the superuser of a cluster the password of secrets/pg_superuser, without a server that anybody could connect to.
set_superuser_password() {
  rm -f "$PG_HOME/data/postmaster.pid"
  printf "ALTER ROLE postgres PASSWORD '%s'\n" "$(secret pg_superuser)" |
    (cd / && "${PG_AS[@]}" "$PG_BIN/postgres" --single -D "$PG_HOME/data" -c log_min_error_statement=panic postgres) \
      >>"$RUN_DIR/log/postgres.log" 2>&1
}

# Everybody needs a password, the superuser, too. Clusters of earlier versions let it in without. A rotation of the superuser's
# password that was interrupted is undone.
PG_HBA='local all all scram-sha-256
host all all all scram-sha-256'
prepare_cluster() {
  local known=
  [ ! -s "$RUN_DIR/secrets/pg_superuser" ] || known=yes
  if [ ! -s "$PG_HOME/data/PG_VERSION" ]; then
    make_cluster || return 1
  elif [ -z "$known" ] || is_next pg_superuser || [ "$(cat "$PG_HOME/data/pg_hba.conf")" != "$PG_HBA" ]; then
    set_superuser_password || return 1
  fi
  printf '%s\n' "$PG_HBA" | write_for_postgres "$PG_HOME/data/pg_hba.conf" || return 1
  keep_secret pgpass "*:*:*:postgres:$(secret pg_superuser)" && drop_next pg_superuser
}

# Others may write to /var/tmp, and root writes the superuser's password below PG_HOME.
refuse_foreign_home() {
  [ "$(id -u)" -eq 0 ] || return 0
  case $([ -L "$PG_HOME" ] || stat -c %U "$PG_HOME") in
  root | postgres) ;;
  *) die "$PG_HOME is a link or belongs to somebody else; remove it" ;;
  esac
}

# start_postgres: a private server on a socket below $SOCKETS; sets what find_postgres does. It takes PG_ROOM connections (200).
# BULKHEAD_PG_LISTEN, an address of this machine, is one more place where it listens.
start_postgres() {
  find_postgres
  is_running postgres && return
  mkdir -p "$PG_HOME" "$PG_SOCKET"
  refuse_foreign_home
  chmod 700 "$PG_HOME"
  chmod 755 "$PG_SOCKET"
  [ "$(id -u)" -ne 0 ] || chown postgres: "$PG_HOME" "$PG_SOCKET"
  locked prepare_cluster || return 1
  # is_running has shown that it does not run, so lock files that a killed server has left are stale.
  rm -f "$PG_HOME/data/postmaster.pid" "$PG_SOCKET"/.s.PGSQL.*
  cd / || return 1
  launch postgres "${PG_AS[@]}" "$PG_BIN/postgres" -D "$PG_HOME/data" -c "listen_addresses=${BULKHEAD_PG_LISTEN:-}" \
    -c "unix_socket_directories=$PG_SOCKET" -c shared_buffers=256MB -c "max_connections=${PG_ROOM:-200}" -c max_wal_size=2GB \
    -c "wal_compression=$(wal_compression)" -c log_line_prefix='%m [%p] %u ' "${PG_OPTIONS[@]}"
  cd "$OLDPWD" || return 1
  wait_for postgres 60 PostgreSQL "$PG_BIN/pg_isready" -q -h "$PG_SOCKET" -U postgres || return 1
  super_psql bulkhead -c "SELECT 1" >/dev/null 2>&1 ||
    super_psql postgres -c "CREATE DATABASE bulkhead" 2>>"$RUN_DIR/log/postgres.log" ||
    super_psql bulkhead -c "SELECT 1" >/dev/null
}

# number_or VALUE DEFAULT: the value where it is a number; services refuse another one themselves.
number_or() {
  case $1 in
  '' | *[!0-9]* | ?????*) echo "$2" ;;
  *) echo "$1" ;;
  esac
}

# connection_limit INSTANCES: how many connections to PostgreSQL the instances of a service may have together: what each may open
# (capacity.c), one or two more for its start, as much for the successor of one that is restarted, and room for three instances at least.
connection_limit() {
  local each limit
  each=$(($(number_or "${PG_SHARED_CONNECTIONS:-}" 2) + $(number_or "${PG_POOL_SIZE:-}" 8) + $(number_or "${PG_SCAN_CONNECTIONS:-}" 4) + 6))
  limit=$((each * ($1 + 1)))
  [ "$limit" -ge 60 ] || limit=60
  echo "$limit"
}

# prepare_database SERVICE INSTANCES: the service's roles and schema. New passwords hold from here on; connections that are made
# before their files have them are refused, and tried again at once.
prepare_database() {
  {
    printf "\\set service %s\n\\set connections %s\n" "$1" "$(connection_limit "$2")"
    printf "\\set password '%s'\n\\set owner_password '%s'\n" "$(newest_secret "pg_$1")" "$(newest_secret "pg_$1_owner")"
    cat "$ROOT/deploy/postgres/bootstrap.sql"
  } | super_psql bulkhead || return 1
  take_next "pg_$1" && take_next "pg_$1_owner" && keep_conninfo "$1" && drop_next "pg_$1" && drop_next "pg_$1_owner"
}

# keep_conninfo SERVICE: writes the service's connection strings: secrets/pg_conninfo_NAME, and for its migrations
# pg_migrate_conninfo_NAME. BULKHEAD_PG_PLACE, such as "host=127.0.0.1 port=5433", puts something between them and PostgreSQL's socket.
keep_conninfo() {
  local common="${BULKHEAD_PG_PLACE:-host=$PG_SOCKET} dbname=bulkhead"
  keep_secret "pg_conninfo_$1" "$common user=bulkhead_$1 password=$(secret "pg_$1")"
  keep_secret "pg_migrate_conninfo_$1" "$common user=bulkhead_$1_owner password=$(secret "pg_$1_owner")"
}

# rotate_pg SERVICE INSTANCES: new passwords for both of its roles. Sessions that are open go on.
rotate_pg() { make_next "pg_$1" && make_next "pg_$1_owner" && prepare_database "$1" "$2"; }

# finish_pg SERVICE INSTANCES: finishes a rotation that was interrupted.
finish_pg() {
  if is_next "pg_$1" || is_next "pg_$1_owner"; then prepare_database "$1" "$2"; fi
}

# Finishes or undoes a rotation of the superuser's password, whichever of both passwords PostgreSQL has.
settle_pg_superuser() {
  local name password
  is_next pg_superuser || return 0
  for name in pg_superuser.next pg_superuser; do
    password=$(secret "$name")
    keep_secret pgpass "*:*:*:postgres:$password"
    if super_psql postgres -c "SELECT 1" >/dev/null 2>&1; then
      keep_secret pg_superuser "$password" && drop_next pg_superuser
      return
    fi
  done
  say "PostgreSQL's superuser gets in neither with the password in $RUN_DIR/secrets/pg_superuser.next nor with that in pg_superuser;" \
    "if PostgreSQL runs, start the stack again: that sets the password"
  return 1
}

rotate_pg_superuser() {
  local new
  settle_pg_superuser && make_next pg_superuser || return 1
  new=$(newest_secret pg_superuser)
  printf "SET log_min_error_statement = panic;\nALTER ROLE postgres PASSWORD '%s';\n" "$new" | super_psql postgres
  settle_pg_superuser && [ "$(secret pg_superuser)" = "$new" ]
}

# ---- Redis ----

sha256_of() { printf %s "$1" | sha256sum | cut -d' ' -f1; }

# write_redis_acl SERVICE...: a user for each service, and one for us. A Redis that starts knows none of the passwords of a rotation
# that was interrupted.
write_redis_acl() {
  local service
  rm -f "$RUN_DIR"/secrets/redis_*.next
  keep_secret redis.acl "$(
    echo "user default off"
    echo "user admin on #$(sha256_of "$(secret redis_admin)") ~* &* +@all"
    for service; do
      echo "user $service on #$(sha256_of "$(secret "redis_$service")") $("$ROOT/deploy/redis/rules" "$service")"
    done
  )"
}

# redis_admin: runs the commands on standard input; fails if one of them does.
redis_admin() {
  local replies
  replies=$({
    echo "AUTH admin $(secret redis_admin)"
    cat
  } | redis-cli -s "$REDIS_SOCKET")
  ! grep -vx OK <<<"$replies" >&2
}

# finish_redis USER: gives the user its new password, if there is one. Both hold until the file has it.
finish_redis() {
  local hash
  is_next "redis_$1" || return 0
  hash="#$(sha256_of "$(newest_secret "redis_$1")")"
  redis_admin <<<"ACL SETUSER $1 $hash" && take_next "redis_$1" && redis_admin <<<"ACL SETUSER $1 resetpass $hash" &&
    drop_next "redis_$1"
}

rotate_redis() { make_next "redis_$1" && finish_redis "$1"; }

# start_redis [SERVICE...]: a private server that writes nothing to disk, because it may lose all it has. Every key has a
# lifetime. volatile-ttl evicts the keys with the shortest one first, which are entries of caches (minutes) before the counters
# of failed logins (a day). Sets REDIS_SOCKET. Where services are named, only they are let in, by passwords.
start_redis() {
  local acl=()
  REDIS_SOCKET=$SOCKETS/redis
  is_running redis && return
  command -v redis-server >/dev/null || die "no Redis server is installed; run: make deps"
  if [ $# -gt 0 ]; then
    locked write_redis_acl "$@" || return
    acl=(--aclfile "$RUN_DIR/secrets/redis.acl")
  fi
  launch redis redis-server --port 0 --unixsocket "$REDIS_SOCKET" --unixsocketperm 777 --save '' --appendonly no \
    --dir "$SOCKETS" --maxmemory 256mb --maxmemory-policy volatile-ttl --daemonize no "${acl[@]}"
  wait_for redis 20 Redis redis-cli -s "$REDIS_SOCKET" ping
}

# ---- Consul ----

find_consul() {
  CONSUL=${BULKHEAD_CONSUL:-$(command -v consul || true)}
  [ -n "$CONSUL" ] || CONSUL=$ROOT/build/tools/consul/usr/bin/consul
  [ -x "$CONSUL" ] || die "no Consul is installed; run: make deps"
}

# start_consul [NAME...]: a private server on loopback, on ports of its own; sets CONSUL_URL. The ports stay the same for the life
# of a run. Where programs are named, only they are let in, each by a token with which it registers its own name.
start_consul() {
  local acl=() name
  find_consul
  if [ ! -s "$RUN_DIR/consul.ports" ]; then
    echo "$(free_port) $(free_port) $(free_port)" >"$RUN_DIR/consul.ports"
  fi
  local http rpc serf
  read -r http rpc serf <"$RUN_DIR/consul.ports"
  CONSUL_URL=http://127.0.0.1:$http
  is_running consul && return
  mkdir -p "$RUN_DIR/consul"
  if [ $# -gt 0 ]; then
    for name; do secret_uuid "consul_$name" >/dev/null; done
    # Newer versions call the first token initial_management, and know this name, too.
    keep_secret consul.hcl "acl { enabled = true default_policy = \"deny\" tokens {
      master = \"$(secret_uuid consul_management)\" agent = \"$(secret_uuid consul_management)\" } }"
    acl=(-config-file "$RUN_DIR/secrets/consul.hcl")
  fi
  launch consul "$CONSUL" agent -server -bootstrap-expect=1 -node=local -data-dir="$RUN_DIR/consul" \
    -bind=127.0.0.1 -client=127.0.0.1 -log-level=warn -hcl \
    "ports { http = $http server = $rpc serf_lan = $serf serf_wan = -1 dns = -1 grpc = -1 } disable_update_check = true
     performance { raft_multiplier = 1 }" "${acl[@]}"
  wait_for consul 30 Consul consul_has_leader || return 1
  [ $# -eq 0 ] || wait_for consul 30 "Consul's tokens" "$ROOT/deploy/consul/acl" "$CONSUL_URL" "$RUN_DIR/secrets" "$@"
}

# consul_get PATH [OPTION...]: asks Consul with the token that may do everything.
consul_get() {
  local path=$1
  shift
  printf 'header = "X-Consul-Token: %s"\n' "$(secret_uuid consul_management)" |
    curl -sf --noproxy '*' -K - "$@" "$CONSUL_URL$path"
}

consul_has_leader() { [ "$(curl -sf --noproxy '*' "$CONSUL_URL/v1/status/leader")" != '""' ] && curl -sf --noproxy '*' "$CONSUL_URL/v1/status/leader"; }
