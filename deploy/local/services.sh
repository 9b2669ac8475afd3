# shellcheck shell=bash
# The services of the local stack: what they find in their environment, and how they start. Sourced by deploy/local/stack.

# Every folder with a main.c is a service, as in the Makefile.
SERVICES=()
for main in "$ROOT"/services/*/main.c; do
  main=${main%/main.c}
  SERVICES+=("${main##*/}")
done

# instance_count SERVICE: prints how many instances to run: the value of SERVICE_INSTANCES.
instance_count() {
  local variable=${1^^}_INSTANCES
  echo "${!variable:-$([ "$1" = item ] && echo 2 || echo 1)}"
}

# Names of processes: the service's name and a number, such as item-2.
instances() {
  local service
  for service in "${SERVICES[@]}"; do
    seq -f "$service-%g" "$(instance_count "$service")"
  done
}

# Adds how a service gets into PostgreSQL, Redis and Consul. Secrets go by file, which is read again when one has changed.
store_environment() {
  local service=$1 secrets=$RUN_DIR/secrets
  locked keep_conninfo "$service" && secret "redis_$service" >/dev/null || return
  unset PG_CONNINFO PG_MIGRATE_CONNINFO PG_MIGRATE_CONNINFO_FILE REDIS_PASSWORD CONSUL_TOKEN AUTH_KEY_SECRET AUTH_KEY_SECRET_PREVIOUS
  PG_CONNINFO_FILE=$secrets/pg_conninfo_$service
  REDIS_URL="unix://$REDIS_SOCKET" REDIS_USER=$service REDIS_PASSWORD_FILE=$secrets/redis_$service
  CONSUL_TOKEN_FILE=$secrets/consul_$service
  export PG_CONNINFO_FILE REDIS_URL REDIS_USER REDIS_PASSWORD_FILE CONSUL_URL CONSUL_TOKEN_FILE
}

# Adds a service's connection settings and secrets to the environment; the caller's settings stay.
service_environment() {
  local service=$1
  store_environment "$service" || return
  SERVICE_KEY_FILE=$RUN_DIR/secrets/service_$service.pem SERVICE_KEYS=$RUN_DIR/keys/service_keys.json
  export SERVICE_KEY_FILE SERVICE_KEYS
  if [ -s "$RUN_DIR/rpc-tls.on" ]; then
    RPC_LISTEN=${RPC_LISTEN:-tls+tcp://127.0.0.1:0}
    RPC_TLS_CA=$RUN_DIR/rpc-tls/$service/ca.pem
    RPC_TLS_CERT_KEY=$RUN_DIR/rpc-tls/$service/own.pem
    export RPC_LISTEN RPC_TLS_CA RPC_TLS_CERT_KEY
  fi
  # These are for the stack only; the service would take them for misspelt settings.
  unset "${service^^}_INSTANCES" RPC_TLS
  [ "$service" != auth ] || secret auth_key >/dev/null || return
  [ "$service" != auth ] || export AUTH_KEY_SECRET_FILE="$RUN_DIR/secrets/auth_key"
  # Only there while the secret changes.
  [ "$service" != auth ] || [ ! -s "$RUN_DIR/secrets/auth_key_previous" ] ||
    export AUTH_KEY_SECRET_PREVIOUS_FILE="$RUN_DIR/secrets/auth_key_previous"
  [ "$service" != auth ] || mail_environment
  [ "$service" != auth ] || passkey_environment
}

# Passkeys belong to a name, so browsers use them on http://localhost:PORT and not on 127.0.0.1.
passkey_environment() {
  [ -z "${AUTH_PASSKEY_RP_ID:-}" ] || return 0
  read_gateway_ports gateway
  export AUTH_PASSKEY_RP_ID=localhost
  export AUTH_PASSKEY_ORIGINS="http://localhost:$GATEWAY_PORT https://localhost:$SECURE_PORT"
}

# The schema's owner, whom only migrations need.
migration_environment() {
  service_environment "$1" && export PG_MIGRATE_CONNINFO_FILE="$RUN_DIR/secrets/pg_migrate_conninfo_$1"
}

# Makes the certificates for mutual TLS, and notes that it is on, for later commands.
choose_rpc_tls() {
  rm -f "$RUN_DIR/rpc-tls.on"
  [ "${RPC_TLS:-0}" = 1 ] || return 0
  choose_gateway_user || return 1
  "$ROOT/deploy/tls/certificates" "$(open_folder rpc-tls)" || return 1
  [ -z "$GATEWAY_AS" ] || chown -R "$GATEWAY_AS" "$RUN_DIR/rpc-tls/gateway"
  echo on >"$RUN_DIR/rpc-tls.on"
}

# rpc_listen NAME [new]: prints where a service listens: at the port of its last start, unless a new one is asked for or something else
# has it.
rpc_listen() {
  local port=0 scheme=tcp
  [ "${2:-}" = new ] || [ ! -s "$RUN_DIR/$1.port" ] || read -r port <"$RUN_DIR/$1.port"
  is_number "$port" 65535 || port=0
  if [ "$port" -eq 0 ] || listens "$port"; then port=$(free_port); fi
  echo "$port" >"$RUN_DIR/$1.port"
  [ ! -s "$RUN_DIR/rpc-tls.on" ] || scheme=tls+tcp
  echo "$scheme://127.0.0.1:$port"
}

# launch_service NAME [AS]: launches an instance, under another name for the process where one is given.
launch_service() {
  local name=$1 as=${2:-$1} service=${1%-*} place=
  if [ "$as" = "$name" ]; then forget_place "$name"; else place=new; fi
  (
    # What listens where it did before is found without Consul.
    export RPC_LISTEN=${RPC_LISTEN:-$(rpc_listen "$name" $place)}
    service_environment "$service" || exit 1
    INSTANCE_ID=$(instance_id "$name")
    STATE_DIR=$RUN_DIR/state
    mkdir -p "$STATE_DIR"
    export INSTANCE_ID STATE_DIR
    launch "$as" "$BIN/$service"
  )
}

start_service() { is_running "$1" || launch_service "$1"; }

# count_room: prints how many connections PostgreSQL must take: those of all instances, and 20 for migrations, tools and the superuser.
count_room() {
  local service room=20
  for service in "${SERVICES[@]}"; do
    room=$((room + $(connection_limit "$(instance_count "$service")")))
  done
  echo $((room > 200 ? room : 200))
}

migrate() {
  local service
  : >"$RUN_DIR/log/migrate.log"
  for service in "${SERVICES[@]}"; do
    locked prepare_database "$service" "$(instance_count "$service")" >>"$RUN_DIR/log/migrate.log" 2>&1 &&
      (migration_environment "$service" && "$BIN/$service" migrate up) >>"$RUN_DIR/log/migrate.log" 2>&1 || {
      tail -n 20 "$RUN_DIR/log/migrate.log" >&2
      die "the migrations of $service failed"
    }
  done
}

# Waits until the service has logged that it takes calls.
is_serving() { tail -n 1000 "$RUN_DIR/log/$1.log" | grep -qE "\"pid\":$(pid_of "$1"),.*\"message\":\"ready\""; }

wait_for_service() {
  case ${LOG_LEVEL:-info} in warn | error) return 0 ;; esac
  local end=$(($(date +%s) + 10))
  until is_serving "$1"; do
    is_running "$1" || {
      report_end_of "$1"
      return 1
    }
    if [ "$(date +%s)" -ge "$end" ]; then
      say "$1 runs but is not ready; it may be waiting for PostgreSQL: $RUN_DIR/log/$1.log"
      return 0
    fi
    sleep 0.02
  done
}
