# shellcheck shell=bash
# The gateways of the local stack: ports, certificates, nginx' configuration; start, replacement and reload. Sourced by deploy/local/stack.

# open_folder NAME: prints a folder for what the gateway's workers use at run time: $RUN_DIR/NAME; but where they cannot enter that,
# as below /root, a folder in /var/tmp that $RUN_DIR/NAME leads to.
open_folder() {
  local folder=$RUN_DIR/$1 away
  if ! workers_can -x "$RUN_DIR"; then
    away=/var/tmp/bulkhead-$(printf %s "$RUN_DIR" | sha256sum | cut -c1-16)-$1
    mkdir -p "$away"
    # Others may write to /var/tmp.
    [ -O "$away" ] && [ ! -L "$away" ] || die "$away belongs to somebody else; remove it"
    [ -L "$folder" ] || rm -rf "$folder"
    ln -sfn "$away" "$folder"
    folder=$away
  fi
  mkdir -p "$folder"
  chmod 755 "$folder"
  echo "$folder"
}

# static_files FROM FOLDER: prints where the workers can read these files: where they are, or in a copy in FOLDER.
static_files() {
  local copy
  copy=$2/$(basename "$1")
  if [ ! -d "$1" ] || (cd "$1" && for file in *; do workers_can -r "$PWD/$file" || exit 1; done); then
    echo "$1"
    return
  fi
  rm -rf "$copy"
  cp -r "$1" "$copy"
  chmod -R a+rX "$copy"
  echo "$copy"
}

listens() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# choose_gateway_ports NAME PORT HTTPS_PORT GRPC_PORT: takes the ports of the last run again, if they are free and the caller asks for
# no others (0). keep_gateway_ports writes them down.
choose_gateway_ports() {
  GATEWAY_PORT=0 ADMIN_PORT=0 SECURE_PORT=0 PLAIN_HTTP2_PORT=0
  [ ! -s "$RUN_DIR/$1.ports" ] || read_gateway_ports "$1"
  # Earlier versions kept what is no port.
  is_number "$GATEWAY_PORT" 65535 || GATEWAY_PORT=0
  is_number "$SECURE_PORT" 65535 || SECURE_PORT=0
  is_number "$PLAIN_HTTP2_PORT" 65535 || PLAIN_HTTP2_PORT=0
  [ "$2" -eq 0 ] || GATEWAY_PORT=$2
  [ "$3" -eq 0 ] || SECURE_PORT=$3
  [ "$4" -eq 0 ] || PLAIN_HTTP2_PORT=$4
  if [ "$2" -ne 0 ] && listens "$2"; then
    say "bulkhead: something else listens on port $2; choose another: make run PORT=8090"
    return 1
  fi
  if [ "$3" -ne 0 ] && uses_tls && listens "$3"; then
    say "bulkhead: something else listens on port $3; choose another: make run TLS=1 HTTPS_PORT=8453"
    return 1
  fi
  if [ "$4" -ne 0 ] && ! uses_tls && listens "$4"; then
    say "bulkhead: something else listens on port $4, where gRPC would be; choose another: make run GRPC_PORT=8091"
    return 1
  fi
  if [ "$GATEWAY_PORT" -eq 0 ] || listens "$GATEWAY_PORT"; then GATEWAY_PORT=$(free_port); fi
  if [ "$ADMIN_PORT" -eq 0 ] || listens "$ADMIN_PORT"; then ADMIN_PORT=$(free_port); fi
  if [ "$SECURE_PORT" -eq 0 ] || listens "$SECURE_PORT"; then SECURE_PORT=$(free_port); fi
  if [ "$PLAIN_HTTP2_PORT" -eq 0 ] || listens "$PLAIN_HTTP2_PORT"; then PLAIN_HTTP2_PORT=$(free_port); fi
}
keep_gateway_ports() { echo "$GATEWAY_PORT $ADMIN_PORT $SECURE_PORT $PLAIN_HTTP2_PORT" >"$RUN_DIR/$1.ports"; }

# The ports of the running stack, for a gateway that is restarted: they are not probed, because a killed gateway's
# workers may listen on them for a moment longer.
read_gateway_ports() { read -r GATEWAY_PORT ADMIN_PORT SECURE_PORT PLAIN_HTTP2_PORT <"$RUN_DIR/$1.ports"; }

uses_own_certificate() {
  [ -z "${TLS_CERTIFICATE:-}${TLS_KEY:-}" ] || return 1
  case ${TLS:-off} in on | 1) ;; off | 0) return 1 ;; *) refuse_value TLS "1 or 0" ;; esac
}
uses_tls() { [ -n "${TLS_CERTIFICATE:-}${TLS_KEY:-}" ] || uses_own_certificate; }

# find_certificates: sets TLS_CERTIFICATE and TLS_KEY where TLS is on, and the files for RPC.
# shellcheck disable=SC2034  # gateway/nginx/settings.sh reads the variables
find_certificates() {
  if uses_own_certificate; then
    "$ROOT/deploy/local/certificate" "$RUN_DIR/tls" || return 1
    TLS_CERTIFICATE=$RUN_DIR/tls/gateway.pem TLS_KEY=$RUN_DIR/tls/gateway.key
  fi
  SERVICE_KEY_FILE=$RUN_DIR/secrets/service_gateway.pem SERVICE_KEYS=$(realpath "$RUN_DIR/keys")/service_keys.json
  RPC_TLS_CA='' RPC_TLS_CERT_KEY=''
  [ ! -s "$RUN_DIR/rpc-tls.on" ] || {
    RPC_TLS_CA=$(realpath "$RUN_DIR/rpc-tls")/gateway/ca.pem
    RPC_TLS_CERT_KEY=$(realpath "$RUN_DIR/rpc-tls")/gateway/own.pem
  }
}

# settle_gateway NAME: gives the gateway's settings their values, and fails where one is wrong. To be called in a subshell.
# shellcheck disable=SC2034  # settings.sh reads the variables
settle_gateway() {
  local cores
  refuse_addresses
  cores=$(nproc)
  choose_gateway_user && find_certificates || return 1
  GATEWAY_LISTEN=127.0.0.1:$GATEWAY_PORT GATEWAY_ADMIN_LISTEN=127.0.0.1:$ADMIN_PORT
  GRPC_LISTEN=127.0.0.1:$PLAIN_HTTP2_PORT
  HTTPS_LISTEN=127.0.0.1:$SECURE_PORT HTTPS_PORT=$SECURE_PORT HSTS_MAX_AGE=${HSTS_MAX_AGE:-0}
  RATE_READ=${RATE_READ:-off} RATE_WRITE=${RATE_WRITE:-off} RATE_EXPENSIVE=${RATE_EXPENSIVE:-off}
  RATE_KEY=${RATE_KEY:-off}
  GATEWAY_WORKERS=${GATEWAY_WORKERS:-$((cores > 1 ? cores / 2 : 1))}
  secret_uuid consul_gateway >/dev/null
  CONSUL_TOKEN_FILE=$RUN_DIR/secrets/consul_gateway GATEWAY_STATIC=
  GATEWAY_RUN=$(open_folder "$1") && STATE_DIR=$GATEWAY_RUN/state && check_gateway_settings
}

# write_gateway_conf NAME: once its settings are settled.
write_gateway_conf() {
  write_nginx_conf "$ROOT/gateway/nginx/nginx.conf.in" \
    MODULE="$OUT/lib/ngx_http_bulkhead_module.so" PROTOSET="$OUT/bulkhead.protoset" \
    DOCS="$(static_files "$ROOT/gateway/docs" "$GATEWAY_RUN")" \
    ACCOUNT="$(static_files "$ROOT/gateway/account" "$GATEWAY_RUN")" \
    SWAGGER_UI="$(static_files "$ROOT/build/tools/swagger-ui-dist" "$GATEWAY_RUN")" \
    ACCESS_LOG="$RUN_DIR/log/access${1#gateway}.log" ACCESS_LOG_OPTIONS=" bulkhead buffer=64k flush=1s" \
    ADVERTISE="127.0.0.1:$GATEWAY_PORT" READY_URL="http://127.0.0.1:$ADMIN_PORT/readyz"
}

# Sets the ports of a gateway. A further one gets some when it is started first.
prepare_gateway() {
  [ "$1" = gateway ] || [ -s "$RUN_DIR/$1.ports" ] || { choose_gateway_ports "$1" 0 0 0 && keep_gateway_ports "$1"; } || return 1
  read_gateway_ports "$1"
}

# start_gateway NAME
start_gateway() {
  is_running "$1" && return
  prepare_gateway "$1" || return 1
  (settle_gateway "$1" && write_gateway_conf "$1") || return 1
  local preload=
  # The sanitizers' runtime must come before nginx's own libraries. nginx itself frees little at its end: no leak check.
  case $(basename "$OUT") in
  asan) preload=$(gcc -print-file-name=libasan.so):$(gcc -print-file-name=libubsan.so) ;;
  ubsan) preload=$(gcc -print-file-name=libubsan.so) ;;
  esac
  # An upgrade starts the same path again.
  launch "$1" env ${preload:+LD_PRELOAD=$preload} ASAN_OPTIONS=detect_leaks=0 "$(command -v nginx)" -c "$RUN_DIR/$1/nginx.conf" -e stderr
}

# follow_process NAME PID: the name stands for this process from now on, whose end is not supervised.
follow_process() {
  echo "$2 $(start_time_of "$2")" >"$RUN_DIR/pids/.$1" && mv "$RUN_DIR/pids/.$1" "$RUN_DIR/pids/$1"
}

# replace_gateway NAME: starts a new nginx with the settings of now, lets it take over the listening sockets, and ends the old one once the
# new one serves. No request is lost. Where the new one cannot serve, the old one goes on.
replace_gateway() {
  local old started begin conf=$RUN_DIR/$1/nginx.conf
  old=$(pid_of "$1") && started=$(start_time_of "$old") && prepare_gateway "$1" || die "$1 does not run"
  begin=$(size_of_log "$1")
  cp "$conf" "$conf.before" && (settle_gateway "$1" && write_gateway_conf "$1") || return 1
  if ! start_successor "$old" "$RUN_DIR/$1/gateway.pid"; then
    mv "$conf.before" "$conf"
    say "the new process does not serve, and $1 goes on with the old one and its settings; its log ($RUN_DIR/log/$1.log) says why:"
    tail -c +$((begin + 1)) "$RUN_DIR/log/$1.log" | grep -v '"level":"info"' | tail -n 20 >&2
    return 1
  fi
  rm -f "$conf.before"
  # shellcheck disable=SC2154  # start_successor sets it
  follow_process "$1" "$successor"
  kill -QUIT "$old"
  while [ "$(start_time_of "$old")" = "$started" ]; do sleep 0.05; done
  # The .end file tells the supervisor how the old process has ended.
  rm -f "$RUN_DIR/log/.$1.end"
}

# kept_value NAME VARIABLE: prints the value of a setting that is kept for a process; nothing where none is.
kept_value() {
  (
    unset "$2"
    GIVEN=
    recall_settings up
    recall_settings "$1"
    printf %s "${!2:-}"
  )
}

# name_ignored_settings NAME: says which settings this command was given that a reload does not take.
name_ignored_settings() {
  local variable ignored=()
  while read -r variable; do
    [ "${!variable}" = "$(kept_value "$1" "$variable")" ] || ignored+=("$variable")
  done < <(grep -xFf <(setting_names gateway) <<<"$GIVEN")
  [ ${#ignored[@]} -eq 0 ] ||
    say "a reload takes no settings, so these do not change: ${ignored[*]}; give them to: deploy/local/stack restart $1"
}

# reload_fault NAME PID BEGIN: prints why nginx' master has refused a reload: its last error in the log behind that byte.
reload_fault() {
  tail -c +$(($3 + 1)) "$RUN_DIR/log/$1.log" | grep -E "\"level\":\"error\",.*\"pid\":$2,|\[emerg\] $2#" | tail -n 1 |
    sed -E 's/.*"message":"(([^"\\]|\\.)*)".*/\1/; s/\\(["\\])/\1/g'
}

# has_reloaded PID WORKERS: tells whether nginx' new workers serve, and those before take no more connections.
has_reloaded() { serves "$1" && ! children_of "$1" 'worker process serves clients' | grep -qxF -- "$2"; }

# reload_gateway NAME: asks nginx to read the certificate again, and waits until it has. The settings stay those of its start. Connections
# that are open go on with the certificate that they have seen. Fails where a file is wrong; all goes on as before then.
reload_gateway() {
  local pid begin workers fault='' end=$(($(date +%s) + 30))
  pid=$(pid_of "$1") || die "$1 does not run"
  name_ignored_settings "$1"
  begin=$(size_of_log "$1") workers=$(children_of "$pid" 'worker process')
  kill -HUP "$pid"
  until has_reloaded "$pid" "$workers"; do
    fault=$(reload_fault "$1" "$pid" "$begin")
    [ -z "$fault" ] || die "the reload failed, and $1 goes on with what it had: $fault"
    if ! is_running "$1"; then
      report_end_of "$1"
      return 1
    fi
    [ "$(date +%s)" -lt "$end" ] || die "it is not known whether $1 has reloaded; see $RUN_DIR/log/$1.log"
    sleep 0.02
  done
}

gateway_says() { curl -sf --noproxy '*' "http://127.0.0.1:$ADMIN_PORT/$1"; }

# Waits until the gateway is ready. Without the auth service it answers but cannot become ready: that is said and does not
# fail the start.
wait_for_gateway() {
  read_gateway_ports "$1"
  wait_for "$1" 15 "the gateway" gateway_says healthz || return 1
  local end=$(($(date +%s) + 10))
  until gateway_says readyz >/dev/null; do
    is_running "$1" || {
      report_end_of "$1"
      return 1
    }
    if [ "$(date +%s)" -ge "$end" ]; then
      say "the gateway answers but is not ready: $(curl -s --noproxy '*' "http://127.0.0.1:$ADMIN_PORT/readyz")"
      return 0
    fi
    sleep 0.05
  done
}
