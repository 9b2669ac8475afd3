# shellcheck shell=sh
# How deploy/docker/secrets and rotate-passwords write the files that containers read. Sourced, with `root` and `folder` set.
: "${root:?}" "${folder:?}"

random() { od -An -N24 -tx1 /dev/urandom | tr -d ' \n'; }
uuid() { cat /proc/sys/kernel/random/uuid; }
sha256_of() { printf %s "$1" | sha256sum | cut -d' ' -f1; }
services() {
  for main in "$root"/services/*/main.c; do basename "$(dirname "$main")"; done
}

# Ends the script where another one changes the secrets or the container bootstrap reads them: that has the same lock. What a killed
# script has started keeps it until it has ended, too.
lock() {
  mkdir -p "$folder/bootstrap"
  exec 9<"$folder/bootstrap"
  flock -w 10 9 || {
    echo "${0##*/}: process $(cat "$folder/lock"), what it has started or the container bootstrap is at work with the secrets in $folder;" \
      "run this again once it has ended" >&2
    exit 1
  }
  echo $$ >"$folder/lock"
}

# put FILE TEXT: whoever reads it sees the old text or the new one, also after a power cut. What is the same stays untouched.
put() {
  mkdir -p "$folder/${1%/*}"
  chmod 755 "$folder/${1%/*}"
  [ "$(cat "$folder/$1" 2>/dev/null)" != "$2" ] || return 0
  (umask 077 && printf '%s\n' "$2" >"$folder/$1.new")
  chmod 444 "$folder/$1.new"
  sync "$folder/$1.new"
  mv -f "$folder/$1.new" "$folder/$1"
  sync "$folder/${1%/*}"
}
# keep FILE TEXT: the same for a file that is not there yet.
keep() { [ -s "$folder/$1" ] || put "$1" "$2"; }

# put_conninfo SERVICE: its connection strings, with the passwords that bootstrap gives its roles.
put_conninfo() {
  common="host=postgres dbname=bulkhead"
  put "$1/pg_conninfo" "$common user=bulkhead_$1 password=$(cat "$folder/bootstrap/$1")"
  put "$1/pg_migrate_conninfo" "$common user=bulkhead_$1_owner password=$(cat "$folder/bootstrap/$1_owner")"
}

# redis_hashes FILE...: Redis' words for these passwords. Files that do not exist and repetitions are left out.
redis_hashes() {
  (cd "$folder" && cat "$@" 2>/dev/null) | sort -u | while read -r password; do printf '#%s ' "$(sha256_of "$password")"; done
}

# Redis' users, as the local stack has them. While a service's password changes, the old and the new one hold.
put_redis_acl() {
  put redis/users.acl "$(
    echo "user default off"
    echo "user admin on $(redis_hashes redis/admin)~* &* +@all"
    for service in $(services); do
      echo "user $service on $(redis_hashes "$service/redis" "$service/redis.next")$("$root/deploy/redis/rules" "$service")"
    done
  )"
}
