#!/usr/bin/env bash
# gateway/nginx/settings.sh: every setting refuses what it cannot use and says what it accepts; what it accepts is in nginx'
# configuration. nginx itself is a stand-in here.
# shellcheck source=tests/scripts/support.sh
. "$(dirname "$0")/support.sh"
# shellcheck source=gateway/nginx/settings.sh
. gateway/nginx/settings.sh
chmod 755 "$folder"
mkdir -p "$folder/bin" "$folder/share/bulkhead" "$folder/run"
cp deploy/docker/gateway "$folder/bin/bulkhead-gateway"
cp gateway/nginx/settings.sh gateway/nginx/upgrade.sh gateway/nginx/nginx.conf.in "$folder/share/bulkhead/"
printf '#!/bin/sh\necho nginx runs\n' >"$folder/bin/nginx"
chmod 755 "$folder/bin/nginx"

# Files that settings name. The workers of another user may read them all but `closed`.
printf -- '-----BEGIN CERTIFICATE-----\n-----BEGIN PRIVATE KEY-----\n' >"$folder/pem"
cp "$folder/pem" "$folder/closed"
printf '{"keys":[]}\n' >"$folder/jwks"
: >"$folder/empty"
chmod 644 "$folder/pem" "$folder/jwks" "$folder/empty"
chmod 600 "$folder/closed"

# start NAME=VALUE...: runs the launcher with these settings and those that it needs at least; what it says is in `said`.
start() {
  said=$(env -i PATH="$folder/bin:$PATH" GATEWAY_RUN="$folder/run" CONSUL_URL=http://127.0.0.1:1 \
    SERVICE_KEY_FILE="$folder/pem" SERVICE_KEYS="$folder/jwks" "$@" "$folder/bin/bulkhead-gateway" 2>&1)
}

tried=
# refuses TEXT NAME=VALUE...: the launcher ends with 2 and says "gateway: TEXT".
refuses() {
  local text=$1 code
  shift
  start "$@"
  code=$?
  [ "$code" -eq 2 ] || fail "with $* the launcher ended with $code: $said"
  case $said in *"nginx runs"*) fail "with $* nginx was started" ;; esac
  grep -qF -- "gateway: $text" <<<"$said" || fail "with $* the launcher said \"$said\", not \"$text\""
  [ "$(wc -l <<<"$said")" -eq 1 ] || fail "with $* the launcher said more than one line: $said"
  tried="$tried${text%% *} "
}
# refuses_value NAME VALUE ACCEPTED [NAME=VALUE...]
refuses_value() {
  local name=$1 found=$2 accepted=$3
  shift 3
  refuses "$name is \"$found\", but must be $accepted" "$name=$found" "$@"
}
# refuses_file NAME FILE FAULT [NAME=VALUE...]
refuses_file() {
  local name=$1 file=$2 fault=$3
  shift 3
  refuses "$name is \"$file\", which $fault, but must be a file" "$name=$file" "$@"
}

values_are_checked() {
  local name
  for name in GATEWAY_LISTEN GATEWAY_ADMIN_LISTEN; do refuses_value "$name" 8080 "an address and a port"; done
  refuses_value GATEWAY_LISTEN '127.0.0.1:8080; include x' "an address and a port"
  refuses_value GATEWAY_LISTEN 127.0.0.1:65536 "an address and a port"
  refuses_value GATEWAY_ADVERTISE 10.0.0.7/8 "a host name or an address"
  refuses_value GRPC_LISTEN 8081 "an address and a port"
  refuses_value HTTPS_LISTEN ::1 "an address and a port" HTTPS_PORT=1
  refuses_value HTTPS_PORT 65536 "a whole number from 1 to 65535"
  refuses_value HTTPS_PORT '1|e' "a whole number from 1 to 65535"
  refuses_value HSTS_MAX_AGE 1y "a whole number from 0 to"
  refuses_value GATEWAY_CONNECTIONS 99 "a whole number from 100 to 500000"
  refuses_value CONNECTIONS_PER_ADDRESS 0 "a whole number from 1 to 65535"
  refuses_value BODY_BYTES 1g "a size, such as"
  refuses_value STREAM_DRAIN 1h "a whole number from 0 to 86400"
  refuses_value CORS_ORIGINS 'https://a.example"; include x' "origins as browsers send them"
  refuses_value CORS_ORIGINS app.example.com "origins as browsers send them"
  for name in RATE_READ RATE_WRITE RATE_EXPENSIVE RATE_CREDENTIAL RATE_KEY; do refuses_value "$name" 30/y "a rate and perhaps a burst"; done
  refuses "RATE_READ is \"30/m?off\", but must be" RATE_READ=$'30/m\noff'
  # shellcheck disable=SC2016  # nginx would expand it
  refuses_value AUTH_ISSUER 'a$host' "letters, digits and"
  refuses_value AUTH_AUDIENCE 'a b' "letters, digits and"
  refuses_value TRUSTED_PROXIES balancer.example.com "addresses and networks"
  refuses_value PROXY_PROTOCOL yes "on or off"
  refuses_value GATEWAY_ACCESS_LOG 0 "on or off"
  refuses_value CONSUL_URL consul:8500 "a URL"
  refuses_value GATEWAY_STATIC tcp://127.0.0.1:1 "services and where they are"
  refuses_value GATEWAY_STATIC item=tcp://127.0.0.1 "services and where they are"
  refuses_value GATEWAY_WORKERS 0 "a number from 1 to 999, or auto"
  refuses_value LOG_LEVEL verbose "debug, info, warn or error"
  refuses_value STATE_DIR state "a whole path"
  refuses_value ZONE "eu 1" "1 to 64 letters, digits"
  refuses_value GATEWAY_RUN run "a whole path"
  refuses_value GATEWAY_RUN "$folder/\$run" "a whole path"
  refuses_value TLS_KEY pem "a whole path" TLS_CERTIFICATE="$folder/pem"
}

# start_with_files FILES CONNECTIONS: prints how the launcher ends, and what it says, where it may open so many files.
start_with_files() {
  (
    drop=()
    ulimit -n "$1" || exit
    # Root would raise the limit.
    [ "$(id -u)" -ne 0 ] || drop=(setpriv --bounding-set=-sys_resource --inh-caps=-sys_resource)
    said=$(env -i PATH="$folder/bin:$PATH" GATEWAY_RUN="$folder/run" CONSUL_URL=http://127.0.0.1:1 GATEWAY_CONNECTIONS="$2" \
      SERVICE_KEY_FILE="$folder/pem" SERVICE_KEYS="$folder/jwks" "${drop[@]}" "$folder/bin/bulkhead-gateway" 2>&1)
    code=$?
    echo "$code $said"
  )
}

files_for_connections_are_checked() {
  local said
  said=$(start_with_files 6000 2000)
  [ "$said" = "2 gateway: GATEWAY_CONNECTIONS is \"2000\", for which a worker opens up to 6741 files, but it may open 6000 only; raise that (ulimit\
 -Hn as root, LimitNOFILE of systemd, ulimits of a container), or set fewer" ] || fail "with 6000 files the launcher said: $said"
  said=$(start_with_files 6741 2000)
  [ "$said" = "0 nginx runs" ] || fail "with 6741 files the launcher said: $said"
}

files_are_checked() {
  local missing=$folder/missing
  refuses_file TLS_CERTIFICATE "$missing" "does not exist" TLS_KEY="$folder/pem"
  refuses_file TLS_KEY "$folder/empty" "is empty" TLS_CERTIFICATE="$folder/pem"
  refuses_file CONSUL_TOKEN_FILE "$folder" "is not a file"
  refuses_file SERVICE_KEY_FILE "$folder/jwks" "holds something else"
  refuses_file SERVICE_KEYS "$folder/pem" "holds something else"
  refuses_file RPC_TLS_CA "$missing" "does not exist" RPC_TLS_CERT_KEY="$folder/pem"
  refuses_file RPC_TLS_CERT_KEY "$folder/jwks" "holds something else" RPC_TLS_CA="$folder/pem"
}

what_belongs_together_is_checked() {
  refuses "TLS_CERTIFICATE is set without TLS_KEY" TLS_CERTIFICATE="$folder/pem"
  refuses "TLS_KEY is set without TLS_CERTIFICATE" TLS_KEY="$folder/pem"
  refuses "RPC_TLS_CERT_KEY is set without RPC_TLS_CA" RPC_TLS_CERT_KEY="$folder/pem"
  refuses "SERVICE_KEYS is set without SERVICE_KEY_FILE" SERVICE_KEY_FILE=
  refuses "PROXY_PROTOCOL is \"on\" without TRUSTED_PROXIES" PROXY_PROTOCOL=on
  refuses "neither CONSUL_URL nor GATEWAY_STATIC is set" CONSUL_URL=
  refuses "nothing proves the gateway's name to the services" SERVICE_KEY_FILE= SERVICE_KEYS=
}

# Another user's rights can be tried by root only.
users_are_checked() {
  tried="$tried GATEWAY_USER "
  [ "$(id -u)" -eq 0 ] || return 0
  refuses_value GATEWAY_USER root "a user of this machine other than root"
  refuses_value GATEWAY_USER nobody-of-this-name "a user of this machine other than root"
  refuses_file SERVICE_KEYS "$folder/closed" "nobody cannot read" GATEWAY_USER=nobody
}

run_folders_are_checked() {
  local run=$folder/run
  rm -rf "$run"
  mkdir -m 777 "$run"
  refuses "GATEWAY_RUN is \"$run\", which is a directory of the user $(id -un) with the mode 777, but must be a folder" LOG_LEVEL=
  rm -rf "$run" && ln -s "$folder/elsewhere" "$run" && mkdir -p "$folder/elsewhere"
  refuses "GATEWAY_RUN is \"$run\", which is a symbolic link of" LOG_LEVEL=
  rm -f "$run"
  if [ "$(id -u)" -eq 0 ]; then
    mkdir "$run" && chown nobody "$run"
    refuses "GATEWAY_RUN is \"$run\", which is a directory of the user nobody with the mode 755, but must be a folder" LOG_LEVEL=
    rm -rf "$run"
  fi
}

# A folder that cannot be made costs a start without Consul, and not this one.
state_folders_are_made() {
  start STATE_DIR="$folder/state/gateway" || fail "with STATE_DIR the launcher said $said"
  [ -d "$folder/state/gateway" ] || fail "the folder of STATE_DIR was not made"
  start STATE_DIR="$folder/bin/nginx/state" || fail "with a STATE_DIR that cannot be made the launcher said $said"
  case $said in *"cannot be made"*"nginx runs"*) ;; *) fail "with a STATE_DIR that cannot be made the launcher said $said" ;; esac
}

# A mistake in a setting that has no case above would be found by nobody.
every_setting_was_tried() {
  local name
  for name in $(each_setting print_setting_name); do
    case " $tried" in *" $name "*) ;; *) fail "no test refuses a value of $name" ;; esac
  done
}

has_line() { grep -qF -- "$1" "$folder/run/nginx.conf" || fail "nginx.conf lacks \"$1\""; }

what_is_accepted_is_configured() {
  start || fail "the least of settings is refused: $said"
  [ "$said" = "nginx runs" ] || fail "with the least of settings the launcher said $said"
  has_line 'listen 0.0.0.0:8080 backlog=4096;'
  has_line 'bulkhead_rate read "200/s burst 400";'
  has_line 'access_log "/dev/stdout" bulkhead;'
  has_line "bulkhead_advertise \"$(hostname):8080\" \"http://$(hostname):9090/readyz\";"
  start GATEWAY_ADVERTISE=10.0.0.7 || fail "an address to advertise is refused: $said"
  has_line 'bulkhead_advertise "10.0.0.7:8080" "http://10.0.0.7:9090/readyz";'
  start GATEWAY_LISTEN='[::1]:8080' HTTPS_LISTEN='*:443' TLS_CERTIFICATE="$folder/pem" TLS_KEY="$folder/pem" RATE_READ=off \
    RATE_WRITE='5/h burst 6' CORS_ORIGINS='https://a.example,http://[::1]:3000' TRUSTED_PROXIES=10.0.0.1,2001:db8::/32 PROXY_PROTOCOL=on \
    GATEWAY_STATIC='item=tcp://a:1,tls+tcp://b:2;auth=dns+tls+tcp://c:3;user=ipc:///c' RPC_TLS_CA="$folder/pem" RPC_TLS_CERT_KEY="$folder/pem" \
    GATEWAY_ACCESS_LOG=off GATEWAY_ADVERTISE=2001:db8::7 || fail "good settings are refused: $said"
  has_line 'listen [::1]:8080 backlog=4096 proxy_protocol;'
  has_line 'bulkhead_advertise "[2001:db8::7]:8080" "http://[2001:db8::7]:9090/readyz";'
  has_line 'listen *:443 ssl http2 backlog=4096 proxy_protocol;'
  has_line "return 308 https://\$host\$request_uri;"
  has_line 'bulkhead_rate write "5/h burst 6";'
  has_line 'bulkhead_cors_origins "https://a.example,http://[::1]:3000";'
  has_line 'bulkhead_trusted_proxies 10.0.0.1 2001:db8::/32; set_real_ip_from 10.0.0.1; set_real_ip_from 2001:db8::/32;'
  has_line ' real_ip_header proxy_protocol;'
  has_line 'access_log "off";'
  ! grep -vE '^#' "$folder/run/nginx.conf" | grep '@[A-Z_]*@' || fail "nginx.conf has places without a value"
}

misspelt_settings_are_named() {
  local name
  start RATE_REED=1/s CORS_ORIGIN=https://a.example TLS_CERT="$folder/pem" HTTPS_PROXY=http://proxy:3128 GATEWAY_PORT=tcp://10.0.0.1:8080 \
    GATEWAY_SERVICE_HOST=10.0.0.1 GATEWAY_PORT_8080_TCP_PORT=8080 CONSUL_HTTP_ADDR=consul:8500 || fail "a misspelt setting is refused: $said"
  for name in RATE_REED CORS_ORIGIN TLS_CERT; do
    grep -qx "gateway: $name is not a setting and has no effect; the command help lists all settings" <<<"$said" ||
      fail "the misspelt setting $name is not named: $said"
  done
  [ "$(wc -l <<<"$said")" -eq 4 ] || fail "other variables are taken for misspelt settings: $said"
}

help_names_all() {
  local name
  said=$("$folder/bin/bulkhead-gateway" help) || fail "help ended with $?"
  for name in $(each_setting print_setting_name); do
    grep -qx -- "  $name" <<<"$said" || fail "help does not name $name"
  done
}

what_is_accepted_is_configured
values_are_checked
files_are_checked
files_for_connections_are_checked
what_belongs_together_is_checked
users_are_checked
run_folders_are_checked
state_folders_are_made
every_setting_was_tried
misspelt_settings_are_named
help_names_all
echo "ok"
