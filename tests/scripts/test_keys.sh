#!/usr/bin/env bash
# deploy/keys: a pair of keys for each program, one at a time; what is there stays, and what a killed run has left is mended.
# shellcheck source=tests/scripts/support.sh
. "$(dirname "$0")/support.sh"
mkdir "$folder/deploy"
cp deploy/keys "$folder/deploy"
cd "$folder" || exit 1

add_service() { mkdir -p "services/$1" && touch "services/$1/main.c"; }
make_keys() { deploy/keys "$@" || fail "deploy/keys $* ended with $?"; }
listed() { grep -o '"kid":"[^"]*"' "$1" | cut -d'"' -f4 | tr '\n' ' '; }

# is_listed_with_its_key NAME: the point in the list is that of the private key.
is_listed_with_its_key() {
  local x y
  x=$(sed -n "s/.*\"kid\":\"$1\",\"x\":\"\([^\"]*\)\".*/\1/p" service_keys)
  y=$(sed -n "s/.*\"kid\":\"$1\".*\"y\":\"\([^\"]*\)\".*/\1/p" service_keys)
  [ ${#x} -eq 43 ] && [ ${#y} -eq 43 ] || fail "the point of $1 is \"$x\", \"$y\""
  # The padding that base64url leaves out.
  [ "$(openssl pkey -in "secrets/service_$1.pem" -pubout -outform DER | tail -c 64 | od -An -tx1)" = \
    "$({ echo "$x=" | basenc -d --base64url && echo "$y=" | basenc -d --base64url; } | od -An -tx1)" ] ||
    fail "the list has another key of $1"
}

each_program_gets_a_key() {
  local name
  make_keys secrets public
  cp public/service_keys.json service_keys
  [ "$(listed service_keys)" = "gateway auth item " ] || fail "the list names: $(listed service_keys)"
  for name in gateway auth item; do is_listed_with_its_key "$name"; done
  [ -z "$(find secrets -type f -perm /077)" ] || fail "others can read a private key"
  [ "$(stat -c %a public/service_keys.json)" = 444 ] || fail "not everybody can read the list"
  grep -rq PRIVATE public && fail "a private key is in the public folder"
  [ "$(ls public)" = service_keys.json ] || fail "the public folder also has: $(ls public)"
}

a_second_run_changes_nothing() {
  local before
  before=$(stat -c '%n %i %Y' secrets/* public/*)
  make_keys secrets public
  [ "$(stat -c '%n %i %Y' secrets/* public/*)" = "$before" ] || fail "a second run has written files"
}

a_new_service_leaves_the_others_alone() {
  local before
  before=$(sha256sum secrets/*)
  add_service note
  make_keys secrets public
  sha256sum --status -c <<<"$before" || fail "a new service has changed the keys of others"
  cp public/service_keys.json service_keys
  [ "$(listed service_keys)" = "gateway auth item note " ] || fail "with a new service the list names: $(listed service_keys)"
  is_listed_with_its_key note
  is_listed_with_its_key gateway
}

a_deleted_key_is_replaced() {
  local item others
  item=$(sha256sum secrets/service_item.pem) others=$(sha256sum secrets/service_[!i]*.pem)
  rm secrets/service_item.pem
  make_keys secrets public
  [ "$(sha256sum secrets/service_item.pem)" != "$item" ] || fail "item has its old key"
  sha256sum --status -c <<<"$others" || fail "a deleted key has changed the keys of others"
  cp public/service_keys.json service_keys
  is_listed_with_its_key item
}

# A killed run leaves half a key under another name, or keys that the list does not name yet.
a_killed_run_is_mended() {
  rm secrets/service_note.pem public/service_keys.json
  echo "half a key" >secrets/service_note.pem.new
  echo '{"keys":[' >public/service_keys.json.new
  : >secrets/service_auth.pem
  make_keys secrets public
  cp public/service_keys.json service_keys
  for name in gateway auth item note; do is_listed_with_its_key "$name"; done
  [ -z "$(find secrets public -name '*.new')" ] || fail "there is still $(find secrets public -name '*.new')"
}

runs_at_once_agree() {
  local runs=() run
  for _ in 1 2 3 4; do
    deploy/keys together &
    runs+=($!)
  done
  for run in "${runs[@]}"; do wait "$run" || fail "one of four runs at once ended with $?"; done
  mv together/service_keys.json service_keys
  rm -rf secrets
  mv together secrets
  for name in gateway auth item note; do is_listed_with_its_key "$name"; done
}

# is_refused WHY ARGUMENT...
is_refused() {
  local why=$1 said
  shift
  said=$(deploy/keys "$@" 2>&1) && fail "deploy/keys $* is taken for right"
  case $said in *"$why"*) ;; *) fail "deploy/keys $* says: $said" ;; esac
}

what_is_wrong_is_refused() {
  local before
  is_refused "usage: deploy/keys FOLDER [PUBLIC]"
  is_refused "usage: deploy/keys FOLDER [PUBLIC]" one two three
  [ ! -e one ] || fail "a folder was made although the arguments are wrong"
  touch file
  is_refused "file" file
  # The list with all keys stays where one cannot be read.
  cp -r secrets broken
  cp service_keys broken/service_keys.json
  echo "no key" >broken/service_item.pem
  before=$(cat broken/service_keys.json)
  is_refused "broken/service_item.pem" broken
  [ "$(cat broken/service_keys.json)" = "$before" ] || fail "a key that cannot be read spoils the list"
}

add_service auth
add_service item
each_program_gets_a_key
a_second_run_changes_nothing
a_new_service_leaves_the_others_alone
a_deleted_key_is_replaced
a_killed_run_is_mended
runs_at_once_agree
what_is_wrong_is_refused
echo "ok"
