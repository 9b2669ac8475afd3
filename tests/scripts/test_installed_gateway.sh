#!/usr/bin/env bash
# The gateway as `make install` brings it, and containers have it, with HTTPS: HTTP/2 and 1.1, where plain HTTP leads, certificates
# that change, an end in good order, and a log that nobody reads. No service runs beside it. BULKHEAD_BIN is the folder of the programs
# (build/release/bin).
# shellcheck source=tests/scripts/support.sh
. "$(dirname "$0")/support.sh"
# shellcheck source=deploy/local/lib.sh
. deploy/local/lib.sh
out=$(dirname "${BULKHEAD_BIN:-build/release/bin}")
RUN_DIR=$folder
chmod 755 "$RUN_DIR"
prepare_run_dir

tidy_up() {
  # Ends ask_on.
  rm -f "$RUN_DIR/asked"
  # tests/run shows it where the test fails.
  end_of_log gateway
  halt gateway TERM 10
  remove_sockets
}

# make_certificate NAME: a new authority and a certificate of it.
make_certificate() { deploy/local/certificate "$RUN_DIR/$1" || fail "no certificate was made"; }
# serve_certificate NAME: puts it where the gateway finds it.
serve_certificate() { cp "$RUN_DIR/$1/gateway.pem" "$RUN_DIR/served.pem" && cp "$RUN_DIR/$1/gateway.key" "$RUN_DIR/served.key"; }
serial_of() { openssl x509 -in "$1" -noout -serial; }
served_serial() { openssl s_client -connect "127.0.0.1:$https" </dev/null 2>/dev/null | openssl x509 -noout -serial; }
serves() { [ "$(served_serial)" = "$(serial_of "$RUN_DIR/$1/gateway.pem")" ]; }
ask() { curl -s --noproxy '*' --max-time 10 "$@"; }
ask_https() { ask --cacert "$RUN_DIR/first/ca.pem" "$@"; }

install_gateway() {
  local said
  said=$(make VARIANT="$(basename "$out")" OUT="$out" PREFIX="$RUN_DIR/installed" install 2>&1) || fail "make install: $said"
  make_certificate first
  make_certificate second
  serve_certificate first
  deploy/keys "$RUN_DIR/secrets" "$RUN_DIR/keys"
}

# The sanitizers' runtime must come before nginx's own libraries.
stand_before_nginx() {
  local libraries=
  case $(basename "$out") in
  asan) libraries=$(gcc -print-file-name=libasan.so):$(gcc -print-file-name=libubsan.so) ;;
  ubsan) libraries=$(gcc -print-file-name=libubsan.so) ;;
  *) return ;;
  esac
  mkdir "$RUN_DIR/before"
  printf '#!/bin/sh\nLD_PRELOAD=%s ASAN_OPTIONS=detect_leaks=0 exec %s "$@"\n' "$libraries" "$(command -v nginx)" >"$RUN_DIR/before/nginx"
  chmod 755 "$RUN_DIR/before/nginx"
}

# start_gateway [NAME=VALUE...]
start_gateway() {
  plain=$(free_port) admin=$(free_port) https=$(free_port)
  launch gateway env -i PATH="$RUN_DIR/before:$PATH" GATEWAY_RUN="$RUN_DIR/gateway" GATEWAY_WORKERS=2 GATEWAY_LISTEN="127.0.0.1:$plain" \
    GATEWAY_ADMIN_LISTEN="127.0.0.1:$admin" HTTPS_LISTEN="127.0.0.1:$https" \
    TLS_CERTIFICATE="$RUN_DIR/served.pem" TLS_KEY="$RUN_DIR/served.key" \
    SERVICE_KEY_FILE="$RUN_DIR/secrets/service_gateway.pem" SERVICE_KEYS="$RUN_DIR/keys/service_keys.json" \
    GATEWAY_STATIC='auth=tcp://127.0.0.1:1;user=tcp://127.0.0.1:1;item=tcp://127.0.0.1:1' "$@" "$RUN_DIR/installed/bin/bulkhead-gateway"
}

wait_for_gateway() {
  wait_for gateway 20 "the gateway" ask -f "http://127.0.0.1:$admin/healthz" || fail "the gateway does not start"
}

https_answers() {
  local said path
  for path in /healthz /docs /openapi.json; do
    said=$(ask_https --http2 -o /dev/null -w '%{http_version} %{http_code}' "https://localhost:$https$path")
    [ "$said" = "2 200" ] || fail "$path by HTTP/2 answers $said"
    said=$(ask_https --http1.1 -o /dev/null -w '%{http_version} %{http_code}' "https://localhost:$https$path")
    [ "$said" = "1.1 200" ] || fail "$path by HTTP/1.1 answers $said"
  done
  said=$(ask_https -o /dev/null -D - "https://localhost:$https/v1/items")
  grep -qi '^strict-transport-security: max-age=31536000' <<<"$said" || fail "browsers are not told to come by HTTPS: $said"
  grep -q '^HTTP/2 401' <<<"$said" || fail "a call without a token answers $said"
}

plain_http_leads_to_https() {
  local said
  said=$(ask -o /dev/null -w '%{http_code} %{redirect_url}' "http://127.0.0.1:$plain/v1/items?q=a%20b")
  [ "$said" = "308 https://127.0.0.1:$https/v1/items?q=a%20b" ] || fail "plain HTTP answers $said"
}

has_logged() { grep -q -- "$1" "$RUN_DIR/log/gateway.log"; }

a_signal_reads_the_certificate_again() {
  local pid
  pid=$(pid_of gateway)
  serves first || fail "another certificate than TLS_CERTIFICATE is served"
  # A broken file changes nothing.
  echo nothing >"$RUN_DIR/served.pem"
  kill -HUP "$pid"
  wait_until "the report of a broken certificate" has_logged "cannot load certificate"
  serves first || fail "a broken certificate has ended the use of the one before"
  serve_certificate second
  kill -HUP "$pid"
  wait_until "the new certificate" serves second
  [ "$(pid_of gateway)" = "$pid" ] || fail "the gateway was started again"
}

# ends_at_start TEXT NAME=VALUE...: a gateway with these settings ends by itself and logs TEXT.
ends_at_start() {
  local text=$1
  shift
  start_gateway "$@"
  wait_until "the end of a gateway that cannot start with $*" eval '! is_running gateway'
  case $(how_ended gateway) in *"status 0") fail "with $* the gateway ended in good order" ;; esac
  end_of_log gateway | grep -qF -- "$text" || fail "with $* the gateway has not logged \"$text\": $(end_of_log gateway)"
}

# Every worker would end, and the master would hold the ports.
keys_that_cannot_be_used_end_the_start() {
  head -c 200 "$RUN_DIR/keys/service_keys.json" >"$RUN_DIR/cut.json"
  printf -- '-----BEGIN PRIVATE KEY-----\n' >"$RUN_DIR/cut.pem"
  ends_at_start "not a JWK set" SERVICE_KEYS="$RUN_DIR/cut.json"
  ends_at_start "not an unencrypted P-256 private key" SERVICE_KEY_FILE="$RUN_DIR/cut.pem"
  ends_at_start 'does not hold the public key' SERVICE_KEY_FILE="$RUN_DIR/secrets/service_item.pem"
}

# Prints how many of a thousand requests got which status.
ask_a_thousand() {
  ask_https -o /dev/null -w '%{http_code}\n' "https://localhost:$https/v1/items?q=[1-1000]" | sort | uniq -c | tr -s ' '
}

# A collector of logs that has stopped reading: the gateway's access log and its other lines go to one full pipe, also after a signal
# that has logs opened again.
a_log_that_nobody_reads_stops_no_request() {
  local codes
  mkfifo "$RUN_DIR/log.pipe"
  exec 7<>"$RUN_DIR/log.pipe"
  serve_certificate first
  # shellcheck disable=SC2016  # the inner shell expands them
  start_gateway LOG_PIPE="$RUN_DIR/log.pipe" sh -c 'exec "$0" >"$LOG_PIPE" 2>&1'
  wait_for_gateway
  codes=$(ask_a_thousand)
  [ "$codes" = " 1000 401" ] || fail "with a full pipe behind its log the gateway answered: $codes"
  kill -USR1 "$(nginx_pid)"
  codes=$(ask_a_thousand)
  [ "$codes" = " 1000 401" ] || fail "after SIGUSR1, with a full pipe behind its log, the gateway answered: $codes"
  an_end_in_good_order
  exec 7>&-
}

ask_second() { ask --cacert "$RUN_DIR/second/ca.pem" -f -o /dev/null "https://localhost:$https/healthz"; }
nginx_pid() { cat "$RUN_DIR/gateway/gateway.pid"; }
serves_alone() { [ "$(nginx_pid 2>/dev/null)" != "$1" ] && ! start_time_of "$1" >/dev/null && ask_second; }

# Asks until the file `asked` goes away; it has a line for each request that failed.
ask_on() {
  while [ -e "$RUN_DIR/asked" ]; do
    ask_second || [ ! -e "$RUN_DIR/asked" ] || echo failed >>"$RUN_DIR/asked"
  done
}

a_signal_upgrades() {
  local launcher before asking
  launcher=$(pid_of gateway)
  : >"$RUN_DIR/asked"
  ask_on &
  asking=$!
  # The second is by an nginx that is itself a successor.
  for _ in 1 2; do
    before=$(nginx_pid)
    kill -USR2 "$launcher"
    wait_until "the end of the nginx before" serves_alone "$before"
  done
  mv "$RUN_DIR/asked" "$RUN_DIR/failures"
  wait "$asking"
  [ ! -s "$RUN_DIR/failures" ] || fail "$(wc -l <"$RUN_DIR/failures") requests failed during upgrades"
  [ "$(pid_of gateway)" = "$launcher" ] || fail "the launcher has ended"
  before=$(nginx_pid)
  mv "$RUN_DIR/installed/lib/bulkhead/ngx_http_bulkhead_module.so" "$RUN_DIR/module.so"
  kill -USR2 "$launcher"
  wait_until "the report of an upgrade that failed" has_logged "the upgrade failed, and the nginx that runs goes on"
  mv "$RUN_DIR/module.so" "$RUN_DIR/installed/lib/bulkhead/ngx_http_bulkhead_module.so"
  [ "$(nginx_pid)" = "$before" ] || fail "a failed upgrade has ended the nginx before"
  serves second || fail "after a failed upgrade the gateway does not serve"
}

an_end_in_good_order() {
  local nginx
  nginx=$(nginx_pid)
  kill -QUIT "$(pid_of gateway)"
  wait_until "the end" eval '! is_running gateway'
  case $(how_ended gateway) in *"status 0") ;; *) fail "the gateway ended $(how_ended gateway)" ;; esac
  ! start_time_of "$nginx" >/dev/null || fail "nginx goes on without its launcher"
}

install_gateway
stand_before_nginx
keys_that_cannot_be_used_end_the_start
start_gateway
wait_for_gateway
https_answers
plain_http_leads_to_https
a_signal_reads_the_certificate_again
a_signal_upgrades
an_end_in_good_order
a_log_that_nobody_reads_stops_no_request
echo "ok"
