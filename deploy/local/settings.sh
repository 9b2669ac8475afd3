# shellcheck shell=bash
# The settings of the local stack: which there are, what is refused, and what is kept for later commands. Sourced by deploy/local/stack.

# refuse_value NAME ACCEPTED: dies, saying what the setting's value is and what is accepted.
refuse_value() { die "$1 is \"${!1}\", but must be $2"; }

# is_number TEXT GREATEST: tells whether the text is a whole number from 0 to that one.
is_number() {
  case $1 in '' | *[!0-9]* | 0?* | ??????*) return 1 ;; esac
  [ "$1" -le "$2" ]
}

check_counts() {
  local service variable
  for service in "${SERVICES[@]}"; do
    variable=${service^^}_INSTANCES
    [ -z "${!variable:-}" ] || is_number "${!variable}" 99 || refuse_value "$variable" "a whole number from 0 to 99"
  done
}

# Refuses addresses, which the stack chooses itself.
refuse_addresses() {
  local variable
  for variable in GATEWAY_LISTEN GRPC_LISTEN HTTPS_LISTEN GATEWAY_ADMIN_LISTEN GATEWAY_ADVERTISE; do
    [ -z "${!variable:-}" ] || ! is_given "$variable" || die "$variable is \"${!variable}\", but the local stack chooses its addresses itself:" \
      "it listens at 127.0.0.1 only, for clients at the ports that \`up\` takes from PORT, HTTPS_PORT and GRPC_PORT, for operators at a free one"
  done
}

# Names what looks like a setting of the stack or the gateway and is none.
warn_of_misspelt_settings() {
  local variable
  warn_of_unknown_settings
  while read -r variable; do
    say "bulkhead: $variable is not a setting and has no effect; there are: $(setting_names stack | grep _INSTANCES | tr '\n' ' ')"
  done < <(grep '_INSTANCES$' <<<"$GIVEN" | grep -v '^GATEWAY_' | grep -vxFf <(setting_names stack))
  return 0
}

# Refuses what is wrong with the settings that only `up` has, before anything is written.
check_settings_of_up() {
  local variable
  for variable in PORT HTTPS_PORT GRPC_PORT; do
    is_number "${!variable}" 65535 || refuse_value "$variable" "a port from 0 to 65535, where 0 stands for any free one"
  done
  case ${RPC_TLS:-} in '' | 0 | 1) ;; *) refuse_value RPC_TLS "1 or 0" ;; esac
  uses_tls
  check_counts
  refuse_addresses
}

# ---- settings that are kept ----

# The names of the variables that this command was given.
GIVEN=$(compgen -e)
is_given() { grep -qxF -- "$1" <<<"$GIVEN"; }

# setting_names PROGRAM: prints the names of its settings, but for secrets, which come from files of the stack's own.
setting_names() {
  case $1 in
  stack) printf '%s\n' OUT BULKHEAD_CONSUL BULKHEAD_PG_BIN && printf '%s_INSTANCES\n' "${SERVICES[@]^^}" ;;
  gateway) echo TLS && each_setting print_setting_name ;;
  *)
    "$BIN/$1" help | awk '
      /^[A-Z][A-Z0-9_]*$/ { name = $0; line = NR }
      name != "" && NR == line + 2 && !/; secret$/ { print name; print name "_FILE" }'
    ;;
  esac
}

# keep_settings NAME PROGRAM...: keeps the settings of these programs that the environment has, for the process NAME, or for `up`.
keep_settings() {
  local file=$RUN_DIR/settings/$1 program variable
  shift
  (
    umask 077
    mkdir -p "$RUN_DIR/settings"
    compgen -e | grep -xFf <(for program; do setting_names "$program"; done) | while read -r variable; do
      printf '%s=%q\n' "$variable" "${!variable}"
    done >"$file.new"
    mv "$file.new" "$file"
  )
}

# recall_settings NAME: brings what was kept back into the environment, but for what this command was given.
recall_settings() {
  local line variable
  [ -s "$RUN_DIR/settings/$1" ] || return 0
  while IFS= read -r line; do
    variable=${line%%=*}
    is_given "$variable" || is_given "${variable}_FILE" || is_given "${variable%_FILE}" || eval "export $line"
  done <"$RUN_DIR/settings/$1"
}

# Paths that this command was given are those of its folder; a later one may come from another.
for variable in TLS_CERTIFICATE TLS_KEY; do
  [ -z "${!variable:-}" ] || export "$variable=$(realpath -ms -- "${!variable}")"
done
