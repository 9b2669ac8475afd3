#!/usr/bin/env bash
# Rotations of passwords that are killed before each of their steps, those of the local stack and those of the containers: every
# program still gets into Redis, the next rotation finishes what was begun, and so does the next start. Two rotations at once do not
# meet. The containers' stores are servers of this machine.
# shellcheck source=tests/scripts/support.sh
. "$(dirname "$0")/support.sh"
ROOT=$PWD
# shellcheck source=deploy/local/lib.sh
. "$ROOT/deploy/local/lib.sh"
RUN_DIR=$folder
export RUN_DIR
chmod 711 "$RUN_DIR"
prepare_run_dir
# shellcheck disable=SC2034  # lib.sh reads them
INITDB_OPTIONS=(--no-sync) PG_OPTIONS=(-c fsync=off)
STEPS=$RUN_DIR/steps
export BULKHEAD_SECRETS=$RUN_DIR/docker COMPOSE=$STEPS/compose
SERVICES=()
for main in "$ROOT"/services/*/main.c; do SERVICES+=("$(basename "$(dirname "$main")")"); done

tidy_up() {
  halt item-1 KILL 5
  halt redis TERM 5
  halt postgres INT 20
  remove_sockets
}

# ---- rotations that are killed ----

# Makes the programs by which a rotation changes anything: before the call whose number is in KILL_AT, they kill the whole rotation.
make_steps() {
  local name real
  mkdir "$STEPS"
  ln -s "$PG_BIN/postgres" "$STEPS/postgres"
  for name in mv rm psql redis-cli; do
    real=$(command -v "$name")
    [ "$name" != psql ] || real=$PG_BIN/psql
    cat >"$STEPS/$name" <<EOF
#!/bin/sh
step=\$((\$(cat "$STEPS/count") + 1))
echo \$step >"$STEPS/count"
[ \$step -ne "\$KILL_AT" ] || kill -KILL 0
exec "$real" "\$@"
EOF
  done
  # compose exec -T CONTAINER COMMAND...
  cat >"$STEPS/compose" <<EOF
#!/bin/sh
shift 3
for word; do
  shift
  set -- "\$@" "\$(printf %s "\$word" | sed 's|/tmp/|$RUN_DIR/|g; s|127.0.0.1|$PG_SOCKET|')"
done
[ "\$1" != redis-cli ] || set -- redis-cli -s "$REDIS_SOCKET"
exec "\$@"
EOF
  chmod +x "$STEPS"/*
}

# rotate STEP COMMAND...: a rotation that is killed before this step; 0: before none. Fails if it was killed.
rotate() {
  local code
  echo 0 >"$STEPS/count"
  # The shell itself would report each kill.
  { KILL_AT=$1 BULKHEAD_PG_BIN=$STEPS PATH=$STEPS:$PATH setsid "${@:2}" >"$RUN_DIR/said" 2>&1; } 2>/dev/null
  code=$?
  [ $code -ne 137 ] || return 1
  [ $code -eq 0 ] || fail "${*:2} ended with $code: $(cat "$RUN_DIR/said")"
}

# kill_before_steps WORLD FIRST COMMAND...: kills the command before each step from FIRST on. After that the next rotation of
# another service, and another time a start, leaves the world in order.
kill_before_steps() {
  local world=$1 step=$2 way
  shift 2
  while :; do
    for way in next_rotation start; do
      rotate "$step" "$@" && return
      where="$*, killed before step $step"
      "${world}_redis_works"
      "${world}_$way"
      where="$where, $way"
      "${world}_redis_works"
      "${world}_is_in_order"
    done
    step=$((step + 1))
  done
}

# ---- what must hold ----

# The redirections keep passwords out of the arguments, as everywhere.
redis_says() { redis-cli -s "$REDIS_SOCKET" 2>&1 <<<"$1"; }

# gets_into_redis USER FILE
gets_into_redis() {
  redis_says "AUTH $1 $(cat "$2")" | grep -qx OK || fail "$where: $1 does not get into Redis"
}

# has_one_password USER FILE: the administrator's password is in the file.
has_one_password() {
  [ "$(redis_says "AUTH admin $(cat "$2")
ACL GETUSER $1" | grep -cE '^[0-9a-f]{64}$')" -eq 1 ] || fail "$where: Redis knows more than one password of $1"
}

# gets_into_postgres FILE: the connection string of the file.
gets_into_postgres() {
  sed "s|host=postgres |host=$PG_SOCKET |" "$1" >"$RUN_DIR/conninfo"
  [ "$("$PG_BIN/psql" -wXqAt -c 'SELECT 1' "$(cat "$RUN_DIR/conninfo")" 2>&1)" = 1 ] || fail "$where: PostgreSQL refuses $1"
}

nothing_is_left() {
  [ -z "$(find "$1" -name '*.next')" ] || fail "$where: there is still $(find "$1" -name '*.next')"
}

local_redis_works() {
  local user
  for user in "${SERVICES[@]}" admin; do gets_into_redis "$user" "$RUN_DIR/secrets/redis_$user"; done
}
local_is_in_order() {
  gets_into_postgres "$RUN_DIR/secrets/pg_conninfo_item"
  gets_into_postgres "$RUN_DIR/secrets/pg_migrate_conninfo_item"
  has_one_password item "$RUN_DIR/secrets/redis_admin"
  has_one_password admin "$RUN_DIR/secrets/redis_admin"
  [ "$(super_psql bulkhead -c 'SELECT 1')" = 1 ] || fail "$where: the superuser does not get in"
  nothing_is_left "$RUN_DIR/secrets"
}
local_next_rotation() {
  rotate 0 deploy/local/stack rotate-passwords user || fail "$where: the next rotation was killed"
  [ -z "$(find "$RUN_DIR/secrets" -name '*.[0-9]*')" ] || fail "$where: half a secret stays"
}
# As `stack up` does it, without the services.
local_start() {
  local service
  halt redis TERM 5
  halt postgres INT 20
  { start_postgres && start_redis "${SERVICES[@]}"; } || fail "$where: the stores do not start"
  for service in "${SERVICES[@]}"; do prepare_database "$service" 1 || fail "$where: $service gets no roles"; done
}

docker_redis_works() {
  local service
  for service in "${SERVICES[@]}"; do gets_into_redis "$service" "$BULKHEAD_SECRETS/$service/redis"; done
}
docker_is_in_order() {
  gets_into_postgres "$BULKHEAD_SECRETS/item/pg_conninfo"
  gets_into_postgres "$BULKHEAD_SECRETS/item/pg_migrate_conninfo"
  has_one_password item "$BULKHEAD_SECRETS/redis/admin"
  nothing_is_left "$BULKHEAD_SECRETS"
}
docker_next_rotation() { rotate 0 deploy/docker/rotate-passwords user || fail "$where: the next rotation was killed"; }
restart_docker_redis() {
  halt redis TERM 5
  launch redis redis-server --port 0 --unixsocket "$REDIS_SOCKET" --save '' --dir "$SOCKETS" --aclfile "$BULKHEAD_SECRETS/redis/users.acl"
  wait_for redis 20 Redis redis-cli -s "$REDIS_SOCKET" ping || fail "$where: Redis does not start"
  docker_redis_works
}
# Runs what the container bootstrap runs.
make_docker_roles() {
  sed "s|/tmp/|$RUN_DIR/|g; s|/run/secrets|$BULKHEAD_SECRETS/bootstrap|g; s|/bulkhead/|$ROOT/deploy/postgres/|g;
    s|-h postgres|-h $PG_SOCKET|g" deploy/docker/bootstrap >"$RUN_DIR/bootstrap"
  sh "$RUN_DIR/bootstrap" || fail "$where: bootstrap ended with $?"
}
make_docker_secrets() { deploy/docker/secrets "$BULKHEAD_SECRETS" || fail "$where: deploy/docker/secrets ended with $?"; }
# Redis may start again by itself at any time.
docker_start() {
  restart_docker_redis
  make_docker_secrets
  restart_docker_redis
  make_docker_roles
}

# ---- tests ----

# Every rotation changes what it names and nothing else.
only_the_named_service_changes() {
  local item user
  item=$(cat "$2") user=$(cat "$3")
  rotate 0 "$1" ${4:+"$4"} item || fail "$1 was killed"
  grep -q "item has new passwords" "$RUN_DIR/said" || fail "$1 says: $(cat "$RUN_DIR/said")"
  [ "$(cat "$2")" != "$item" ] || fail "$1 changes nothing"
  [ "$(cat "$3")" = "$user" ] || fail "$1 changes what it was not asked for"
}

# The program stands in for the service: it runs and says nothing.
a_service_that_starts_finishes_it() {
  local where="a service that starts"
  mkdir -p "$RUN_DIR/out/bin"
  printf '#!/bin/sh\n[ $# -gt 0 ] || exec sleep 600\n' >"$RUN_DIR/out/bin/item"
  chmod +x "$RUN_DIR/out/bin/item"
  make_next pg_item
  OUT=$RUN_DIR/out LOG_LEVEL=warn deploy/local/stack start item-1 >"$RUN_DIR/said" 2>&1 || fail "item-1 does not start: $(cat "$RUN_DIR/said")"
  halt item-1 KILL 5
  local_is_in_order
}

# Two at once: the second waits, or says who is at it.
two_at_once_do_not_meet() {
  local where="two at once" first said
  "$@" >"$RUN_DIR/first" 2>&1 &
  first=$!
  said=$("$@" 2>&1) || case $said in *"the secrets in"*) ;; *) fail "the second of two rotations says: $said" ;; esac
  wait "$first" || grep -q "the secrets in" "$RUN_DIR/first" || fail "the first of two rotations says: $(cat "$RUN_DIR/first")"
}

# is_refused FILE COMMAND...: the command ends with an error that names the process in the file.
is_refused() {
  local said
  said=$("${@:2}" 2>&1) && fail "${*:2} begins while somebody else changes the secrets"
  case $said in *"process $(cat "$1")"*"the secrets in"*) ;; *) fail "${*:2} says: $said" ;; esac
}

# Each waits for some seconds first, so they wait at the same time; bootstrap would wait for a minute.
nobody_passes_the_lock() {
  local here=$RUN_DIR/secrets.lock there=$BULKHEAD_SECRETS/lock pids=() pid said
  (
    exec 5>"$here" 6<"$BULKHEAD_SECRETS/bootstrap"
    flock 5 && flock 6 && echo 4711 >"$here" && echo 4712 >"$there"
    is_refused "$here" deploy/local/stack rotate-passwords 5>&- 6>&- &
    pids+=($!)
    OUT=$RUN_DIR/out is_refused "$here" deploy/local/stack restart item-1 5>&- 6>&- &
    pids+=($!)
    is_refused "$there" deploy/docker/rotate-passwords 5>&- 6>&- &
    pids+=($!)
    is_refused "$there" deploy/docker/secrets "$BULKHEAD_SECRETS" 5>&- 6>&- &
    pids+=($!)
    sed -i 's/flock -w 60/flock -w 1/' "$RUN_DIR/bootstrap"
    said=$(sh "$RUN_DIR/bootstrap" 2>&1 6>&-) && fail "bootstrap begins while somebody else changes the secrets"
    case $said in *"secrets has been at work"*) ;; *) fail "bootstrap says: $said" ;; esac
    for pid in "${pids[@]}"; do wait "$pid" || exit 1; done
  ) || exit 1
}

cd "$ROOT" || exit 1
{ start_postgres && start_redis "${SERVICES[@]}"; } || fail "the stores do not start"
make_steps
# The commands of the stack look for it; Consul is not needed here.
echo "20001 20002 20003" >"$RUN_DIR/consul.ports"
where="a new stack"
local_start
kill_before_steps local 1 deploy/local/stack rotate-passwords item
# The administrators come last.
rotate 0 deploy/local/stack rotate-passwords || fail "the rotation was killed"
kill_before_steps local "$(($(cat "$STEPS/count") - 11))" deploy/local/stack rotate-passwords
only_the_named_service_changes deploy/local/stack "$RUN_DIR/secrets/pg_item" "$RUN_DIR/secrets/pg_user" rotate-passwords
a_service_that_starts_finishes_it
two_at_once_do_not_meet deploy/local/stack rotate-passwords
local_is_in_order

mkdir -p "$BULKHEAD_SECRETS/postgres"
cp "$RUN_DIR/secrets/pg_superuser" "$BULKHEAD_SECRETS/postgres/superuser"
where="new containers"
make_docker_secrets
docker_start
kill_before_steps docker 1 deploy/docker/rotate-passwords item
only_the_named_service_changes deploy/docker/rotate-passwords "$BULKHEAD_SECRETS/bootstrap/item" "$BULKHEAD_SECRETS/bootstrap/user"
nobody_passes_the_lock
echo "ok"
