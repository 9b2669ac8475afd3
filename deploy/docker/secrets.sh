# shellcheck shell=sh
# How deploy/docker/secrets and rotate-passwords write the files that containers read. Sourced, with `root` and `folder` set.
: "${root:?}" "${folder:?}"

random() { od -An -N24 -tx1 /dev/urandom | tr -d ' \n'; }
uuid() { cat /proc/sys/kernel/random/uuid; }
sha256_of() { printf %s "$1" | sha256sum | cut -d' ' -f1; }
services() {
  for main in "$root"/services/*/main.c; do basename "$(dirname "$main")"; done
}

# put FILE TEXT: whoever reads it sees the old text or the new one. What is the same stays untouched.
put() {
  mkdir -p "$folder/${1%/*}"
  chmod 755 "$folder/${1%/*}"
  [ "$(cat "$folder/$1" 2>/dev/null)" != "$2" ] || return 0
  (umask 077 && printf '%s\n' "$2" >"$folder/$1.new")
  chmod 444 "$folder/$1.new"
  mv -f "$folder/$1.new" "$folder/$1"
}
# keep FILE TEXT: the same for a file that is not there yet.
keep() { [ -s "$folder/$1" ] || put "$1" "$2"; }

# put_conninfo SERVICE: its connection strings, with the passwords that bootstrap gives its roles.
put_conninfo() {
  common="host=postgres dbname=bulkhead"
  put "$1/pg_conninfo" "$common user=bulkhead_$1 password=$(cat "$folder/bootstrap/$1")"
  put "$1/pg_migrate_conninfo" "$common user=bulkhead_$1_owner password=$(cat "$folder/bootstrap/$1_owner")"
}

# Redis' users, as the local stack has them.
put_redis_acl() {
  put redis/users.acl "$(
    echo "user default off"
    echo "user admin on #$(sha256_of "$(cat "$folder/redis/admin")") ~* &* +@all"
    for service in $(services); do
      echo "user $service on #$(sha256_of "$(cat "$folder/$service/redis")") $("$root/deploy/redis/rules" "$service")"
    done
  )"
}
