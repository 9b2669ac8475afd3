# shellcheck shell=sh
# The settings of the gateway: which there are, what they accept, and nginx' configuration made of them. Sourced by what starts a
# gateway, bulkhead-gateway and deploy/local/stack. They set what they decide themselves, then call check_gateway_settings and
# write_nginx_conf.

# each_setting COMMAND: calls COMMAND NAME KIND DEFAULT MEANING for each setting. A setting is a variable of the environment; an empty
# one counts as not set. In nginx.conf.in @NAME@ stands for its value.
each_setting() {
  "$1" GATEWAY_LISTEN address 0.0.0.0:8080 "where clients come"
  "$1" GRPC_LISTEN address 0.0.0.0:8081 "where HTTP/2 without TLS is, as gRPC speaks it; with TLS_CERTIFICATE nothing listens there, because
      HTTPS_LISTEN has HTTP/2"
  "$1" GATEWAY_ADVERTISE host "" "the host or address that Consul shows and asks for the gateway's health; not set: the name of this machine"
  "$1" GATEWAY_ADMIN_LISTEN address 0.0.0.0:9090 "where /metrics and /readyz are, which are not for the public"
  "$1" TLS_CERTIFICATE file "" "the certificate with its chain (PEM). With it HTTPS and HTTP/2 at HTTPS_LISTEN, and GATEWAY_LISTEN only
      sends clients there. SIGHUP reads it again: no connection is lost"
  "$1" TLS_KEY file "" "the certificate's key (PEM)"
  "$1" HTTPS_LISTEN address 0.0.0.0:8443 "where HTTPS is"
  "$1" HTTPS_PORT 1..65535 "${HTTPS_LISTEN:+${HTTPS_LISTEN##*:}}" "the port that clients know; not set: that of HTTPS_LISTEN"
  "$1" HSTS_MAX_AGE 0..4294967295 31536000 "seconds for which browsers come by HTTPS only"
  "$1" CORS_ORIGINS origins "" "origins whose scripts may read replies"
  "$1" STREAM_DRAIN 0..86400 3600 "for how many seconds streams go on in the processes that a reload has replaced; then they end, and their
      clients open them again"
  "$1" RATE_READ rate "200/s burst 400" "reads of one user, or of one address without a token"
  "$1" RATE_WRITE rate "50/s burst 100" "writes of the same"
  "$1" RATE_EXPENSIVE rate "20/s burst 40" "searches and batches of the same"
  "$1" RATE_CREDENTIAL rate 30/m "failed logins and sign-ups of one address"
  "$1" RATE_KEY rate "200/s burst 400" "reads and writes of one API key"
  "$1" GATEWAY_CONNECTIONS 100..500000 10000 "connections of clients that the gateway holds; each takes a file, which it must be allowed"
  "$1" CONNECTIONS_PER_ADDRESS 1..65535 1024 "connections, and requests at a time, of one address (of IPv6: of one /64)"
  "$1" BODY_BYTES bytes 96m "room for all bodies together, in GATEWAY_RUN/tmp and memory; one address gets a quarter at most"
  "$1" TRUSTED_PROXIES networks "" "load balancers that are believed about a client's address"
  "$1" PROXY_PROTOCOL switch off "on: they say it by the PROXY protocol and not by X-Forwarded-For"
  "$1" AUTH_ISSUER text bulkhead "who issues access tokens, as the auth service has it"
  "$1" AUTH_AUDIENCE text bulkhead "whom access tokens are for, as the auth service has it"
  "$1" CONSUL_URL url "" "where Consul is; not set: none"
  "$1" CONSUL_TOKEN_FILE file "" "a file with Consul's ACL token, if it has ACLs"
  "$1" STATE_DIR path "" "a folder that lasts, where the last known places of the services are kept for a start without Consul or DNS"
  "$1" ZONE zone "" "where this gateway runs, such as eu-1a: requests go to instances of the same zone while these can do them"
  "$1" GATEWAY_STATIC places "" "services that Consul is not asked for; with dns+ in front all addresses
      of a name are followed"
  "$1" RPC_TLS_CA pem "" "the authorities (PEM) that sign the services' certificates, for mutual TLS to them: deploy/tls/certificates"
  "$1" RPC_TLS_CERT_KEY pem "" "the gateway's certificate and key (PEM), for RPC_TLS_CA"
  "$1" SERVICE_KEY_FILE key "" "the gateway's private key (PEM), where RPC has no TLS: deploy/keys"
  "$1" SERVICE_KEYS jwks "" "the public keys of all services, for SERVICE_KEY_FILE"
  "$1" GATEWAY_WORKERS workers auto "worker processes"
  "$1" GATEWAY_USER user www-data "whom the workers run as where root starts nginx; never root"
  "$1" GATEWAY_RUN path "${TMPDIR:-/tmp}/gateway" "a folder of its own, the only one that it writes to"
  "$1" GATEWAY_ACCESS_LOG switch on "a line for each request"
  "$1" LOG_LEVEL level info "the least level of other lines that are logged"
}

# describe_kind KIND: sets `accepted`, which says what a kind of setting accepts, and `pattern`, the extended regular expression of it. For
# a file `pattern` is what stands in it.
describe_kind() {
  pattern=
  case $1 in
  address)
    accepted="an address and a port, such as 127.0.0.1:8080 or [::1]:8080"
    pattern="([a-zA-Z0-9._*-]+|\[[0-9a-fA-F:.]+\]):$PORT_PATTERN"
    ;;
  host) accepted="a host name or an address, such as 10.0.0.7 or 2001:db8::7" pattern='[a-zA-Z0-9._-]+|[0-9a-fA-F:.]+' ;;
  *..*) accepted="a whole number from ${1%..*} to ${1#*..}" pattern='[0-9]{1,10}' ;;
  bytes) accepted="a size, such as 512k or 96m" pattern='[1-9][0-9]{0,9}[kKmM]?' ;;
  switch) accepted="on or off" pattern='on|off' ;;
  level) accepted="debug, info, warn or error" pattern='debug|info|warn|error' ;;
  workers) accepted="a number from 1 to 999, or auto" pattern='[1-9][0-9]{0,2}|auto' ;;
  rate)
    accepted="a rate and perhaps a burst, such as 100/s burst 200 or 30/m, of s, m, h or d, or off"
    pattern='[0-9]+/[smhd]( burst [0-9]+)?|off'
    ;;
  origins)
    accepted="origins as browsers send them, such as https://app.example.com,http://localhost:3000, or * for any"
    pattern="\*|$ORIGIN_PATTERN(,$ORIGIN_PATTERN)*"
    ;;
  networks)
    accepted="addresses and networks, such as 10.0.0.1,10.1.0.0/16,2001:db8::/32"
    pattern="$NETWORK_PATTERN(,$NETWORK_PATTERN)*"
    ;;
  url) accepted="a URL, such as http://127.0.0.1:8500" pattern='https?://[][a-zA-Z0-9._:/-]+' ;;
  places)
    accepted="services and where they are, such as item=tcp://a:1,tcp://b:1;user=dns+tls+tcp://c:1"
    pattern="$PLACES_PATTERN(;$PLACES_PATTERN)*"
    ;;
  user) accepted="a user of this machine other than root, such as www-data" pattern='[a-zA-Z0-9_][a-zA-Z0-9_.-]*' ;;
  zone) accepted="1 to 64 letters, digits and . _ -" pattern='[a-zA-Z0-9._-]{1,64}' ;;
  text) accepted="letters, digits and . _ : / = , @ % + * -" pattern='[a-zA-Z0-9._:/=,@%+*-]+' ;;
  plain) accepted="text without \" \$ & | and \\" pattern='[^"$&|\]*' ;;
  path) accepted="a whole path, from /, without \" \$ & | and \\" pattern='/[^"$&|\]*' ;;
  file) accepted="a file that can be read and is not empty" ;;
  key) accepted="a file with a private key (PEM)" pattern='PRIVATE KEY-----' ;;
  pem) accepted="a file with a certificate (PEM) that the workers can read" pattern='-----BEGIN CERTIFICATE-----' ;;
  jwks) accepted="a file with a JWK set that the workers can read" pattern='"keys"' ;;
  esac
}
PORT_PATTERN='([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])'
ORIGIN_PATTERN='https?://[]a-z0-9._:[-]+'
NETWORK_PATTERN='[0-9a-fA-F.:]+(/[0-9]{1,3})?'
PLACE_PATTERN="((dns\+)?(tls\+)?tcp://([a-zA-Z0-9._-]+|\[[0-9a-fA-F:.]+\]):$PORT_PATTERN|ipc:///[a-zA-Z0-9._/-]+)"
PLACES_PATTERN="[a-z][a-z0-9_-]*=$PLACE_PATTERN(,$PLACE_PATTERN)*"

# ---- checks ----

# refuse NAME FAULT: says what is wrong with the setting's value and what is `accepted`. The other settings are still checked.
refuse() {
  printf 'gateway: %s is "%s"%s, but must be %s\n' "$1" "$(printf %s "$value" | tr '[:cntrl:]' '?')" "$2" "$accepted" >&2
  refused=yes
}

# demand TEXT...: refuses settings that do not go together.
demand() {
  echo "gateway: $*" >&2
  refused=yes
}

# Prints the name of the user that this runs as. In containers a user may have none.
own_name() { id -un 2>/dev/null || id -u; }

is_set() { eval "[ -n \"\${$1:-}\" ]"; }

# choose_gateway_user: sets GATEWAY_AS, the user of the workers where root starts nginx; empty where they run as whoever starts it.
choose_gateway_user() {
  GATEWAY_AS=
  [ "$(id -u)" -eq 0 ] || return 0
  GATEWAY_AS=${GATEWAY_USER:-www-data}
  [ "$(id -u "$GATEWAY_AS" 2>/dev/null || echo 0)" -eq 0 ] || return 0
  value=$GATEWAY_AS
  describe_kind user
  refuse GATEWAY_USER ""
  return 1
}

# workers_can TEST...: asks `test` as the user of the workers.
workers_can() {
  if [ -z "$GATEWAY_AS" ]; then
    test "$@"
  else
    setpriv --reuid="$GATEWAY_AS" --regid="$(id -g "$GATEWAY_AS")" --init-groups -- test "$@" 2>/dev/null
  fi
}

is_for_workers() { [ "$1" = pem ] || [ "$1" = jwks ]; }

# file_fault KIND FILE: prints what is wrong with a file, nothing where it can be used.
file_fault() {
  if [ ! -e "$2" ]; then
    echo ", which does not exist"
  elif [ ! -f "$2" ]; then
    echo ", which is not a file"
  elif [ ! -r "$2" ]; then
    echo ", which $(own_name) cannot read"
  elif is_for_workers "$1" && ! workers_can -r "$2"; then
    echo ", which $GATEWAY_AS cannot read"
  elif [ ! -s "$2" ]; then
    echo ", which is empty"
  elif ! grep -q -e "$pattern" "$2"; then
    echo ", which holds something else"
  fi
}

# check_value NAME KIND: refuses `value` unless it is of this kind.
check_value() {
  case $2 in file | key | pem | jwks) set -- "$1" path "$2" ;; esac
  describe_kind "$2"
  if ! matches || ! is_in_range "$2"; then
    refuse "$1" ""
  elif [ $# -eq 3 ]; then
    describe_kind "$3"
    fault=$(file_fault "$3" "$value")
    [ -z "$fault" ] || refuse "$1" "$fault"
  fi
}

# matches: tells whether all of `value` is as `pattern` says. A line feed would hide the rest from grep.
matches() {
  case $value in *[[:cntrl:]]*) return 1 ;; esac
  printf '%s\n' "$value" | LC_ALL=C grep -Eqx -e "$pattern"
}

is_in_range() {
  case $1 in *..*) [ "$value" -ge "${1%..*}" ] && [ "$value" -le "${1#*..}" ] ;; esac
}

# settle_setting NAME KIND DEFAULT: gives the setting its default where it has no value, and checks what it has.
settle_setting() {
  is_set "$1" || eval "$1=\$3"
  eval "value=\$$1"
  [ -z "$value" ] || check_value "$1" "$2"
}

# check_gateway_settings: gives every setting its value. Fails after it has said all that is wrong.
check_gateway_settings() {
  refused=
  choose_gateway_user || return 1
  each_setting settle_setting
  check_pair TLS_CERTIFICATE TLS_KEY
  check_pair RPC_TLS_CA RPC_TLS_CERT_KEY
  check_pair SERVICE_KEY_FILE SERVICE_KEYS
  [ "$PROXY_PROTOCOL" != on ] || is_set TRUSTED_PROXIES ||
    demand "PROXY_PROTOCOL is \"on\" without TRUSTED_PROXIES, which says who may speak it"
  [ -n "$refused" ] || check_files
  is_set CONSUL_URL || is_set GATEWAY_STATIC || demand "neither CONSUL_URL nor GATEWAY_STATIC is set, so that no service can be found"
  is_set RPC_TLS_CA || is_set SERVICE_KEYS ||
    demand "nothing proves the gateway's name to the services; set RPC_TLS_CA and RPC_TLS_CERT_KEY, or SERVICE_KEY_FILE and SERVICE_KEYS"
  [ -z "$refused" ]
}

# Prints the connections that a worker must be able to have: any of them may get all clients. nginx closes idle ones when a sixteenth is left.
# The rest are listeners and its own.
connections_per_worker() { echo $((GATEWAY_CONNECTIONS + GATEWAY_CONNECTIONS / 15 + 512)); }

# Prints the files that a worker must be able to open: its connections, those to the services, and the bodies of requests.
files_per_worker() { echo $(($(connections_per_worker) + 4096)); }

# Refuses more connections than this process may have files. Only root may raise its own limit.
check_files() {
  # shellcheck disable=SC3045  # Debian's shells have -n and -H
  (ulimit -n "$(files_per_worker)") 2>/dev/null ||
    demand "GATEWAY_CONNECTIONS is \"$GATEWAY_CONNECTIONS\", for which a worker opens up to $(files_per_worker) files, but it may open $(ulimit -Hn)" \
      "only; raise that (ulimit -Hn as root, LimitNOFILE of systemd, ulimits of a container), or set fewer"
}

check_pair() {
  if is_set "$1"; then
    is_set "$2" || demand "$1 is set without $2; they go together"
  elif is_set "$2"; then
    demand "$2 is set without $1; they go together"
  fi
}

# warn_of_unknown_settings: names variables of the environment that begin as the gateway's settings do and are no settings. Beginnings that
# other programs' variables have, too, such as AUTH_ and CONSUL_, do not count, nor does what Kubernetes says about a service "gateway".
warn_of_unknown_settings() {
  awk 'BEGIN {
    for (name in ENVIRON)
      if (name ~ /^(GATEWAY|TLS|HTTPS|HSTS|CORS|RATE|CONNECTIONS|BODY|TRUSTED)_[A-Z0-9_]*$/ &&
          name !~ /^(HTTPS_PROXY$|GATEWAY_SERVICE_|GATEWAY_PORT_)/ && ENVIRON[name] !~ /^tcp:/)
        print name
  }' | sort | while read -r name; do
    # Without -q, because that ends before it has read all, and bash says so where SIGPIPE is ignored.
    each_setting print_setting_name | grep -x "$name" >/dev/null ||
      echo "gateway: $name is not a setting and has no effect; the command help lists all settings" >&2
  done
}
print_setting_name() { echo "$1"; }

# print_setting NAME KIND DEFAULT MEANING: for people.
print_setting() {
  describe_kind "$2"
  printf '  %s\n      %s\n      %s; %s\n' "$1" "$4" "$accepted" "${3:+default }${3:-optional}"
}

# ---- nginx' configuration ----

# replace NAME VALUE: adds to `replacements`, a script of sed. What was checked holds nothing that means something to sed or nginx.
replace() {
  replacements="$replacements
s|@$1@|$2|g"
}
replace_setting() { eval "replace $1 \"\$$1\""; }

# replace_proxies: replaces the lines for TRUSTED_PROXIES, and the word that makes nginx read the PROXY protocol.
replace_proxies() {
  lines='' word='' header='X-Forwarded-For; real_ip_recursive on'
  [ "$PROXY_PROTOCOL" = off ] || { word=' proxy_protocol' && header=proxy_protocol; }
  if is_set TRUSTED_PROXIES; then
    networks=$(echo "$TRUSTED_PROXIES" | tr ',' ' ')
    lines="bulkhead_trusted_proxies $networks;"
    for network in $networks; do lines="$lines set_real_ip_from $network;"; done
    lines="$lines real_ip_header $header;"
  fi
  replace PROXY_LINES "$lines"
  replace PROXY_WORD "$word"
}

# Makes STATE_DIR for the workers where it is not there. Without it all works but a start without Consul.
make_state_folder() {
  [ ! -d "$STATE_DIR" ] || return 0
  (umask 022 && mkdir -p "$STATE_DIR") && { [ -z "$GATEWAY_AS" ] || chown "$GATEWAY_AS" "$STATE_DIR"; } ||
    echo "gateway: STATE_DIR \"$STATE_DIR\" cannot be made, so that a start without Consul will find no service" >&2
}

# write_nginx_conf TEMPLATE NAME=VALUE...: writes GATEWAY_RUN/nginx.conf from the settings and what else the template names.
write_nginx_conf() {
  template=$1 replacements='' refused=''
  shift
  # The first replacement of a name is the one that counts.
  [ "$GATEWAY_ACCESS_LOG" = on ] || { replace ACCESS_LOG off && replace ACCESS_LOG_OPTIONS ''; }
  for pair; do
    value=${pair#*=}
    check_value "${pair%%=*}" plain
    replace "${pair%%=*}" "$value"
  done
  [ -z "$refused" ] || return 1
  each_setting replace_setting
  replace_proxies
  replace USER_LINE "${GATEWAY_AS:+user $GATEWAY_AS $(id -gn "${GATEWAY_AS:-root}");}"
  replace FILES "$(files_per_worker)"
  replace CONNECTIONS "$(connections_per_worker)"
  replace REDIRECT_PORT "$([ "$HTTPS_PORT" = 443 ] || echo ":$HTTPS_PORT")"
  # Lines of the template that begin with #tls: or #plain: are for one of both.
  unused=tls
  ! is_set TLS_CERTIFICATE || unused=plain
  (umask 022 && mkdir -p "$GATEWAY_RUN/tmp")
  ! is_set STATE_DIR || make_state_folder
  sed -e "/^ *#$unused: /d" -e "s/^\( *\)#\(tls\|plain\): /\1/" -e "$replacements" "$template" >"$GATEWAY_RUN/nginx.conf"
}
