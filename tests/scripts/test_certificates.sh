#!/usr/bin/env bash
# deploy/tls/certificates and deploy/local/certificate: a rotation for one service leaves all of them able to talk, and what a
# killed run has left is mended by the next one.
# shellcheck source=tests/scripts/support.sh
. "$(dirname "$0")/support.sh"

# accepts NAME OTHER: NAME trusts the authority that has signed OTHER's certificate.
accepts() { openssl verify -CAfile "$folder/rpc/$1/ca.pem" "$folder/rpc/$2/own.pem" >/dev/null 2>&1; }

a_rotation_for_one_reaches_all() {
  local kept
  deploy/tls/certificates "$folder/rpc" auth item || fail "no certificates were made"
  kept=$(cat "$folder/rpc/item/own.pem")
  deploy/tls/certificates --rotate "$folder/rpc" auth || fail "auth gets no new certificate"
  accepts item auth || fail "item refuses auth's new certificate"
  accepts auth item || fail "auth refuses item's certificate"
  [ "$(cat "$folder/rpc/item/own.pem")" = "$kept" ] || fail "item has a new certificate, too"
}

# Where root makes the files, another user owns the folders that they are put in.
a_link_is_replaced() {
  mkdir "$folder/elsewhere"
  ln -sf "$folder/elsewhere" "$folder/rpc/item/own.pem"
  deploy/tls/certificates "$folder/rpc" item || fail "no certificate was made in the place of a link"
  [ -z "$(ls "$folder/elsewhere")" ] || fail "a link leads certificates to where it likes: $(ls "$folder/elsewhere")"
  accepts auth item || fail "a link stays where the certificate should be"
}

# key_of FILE: prints the public key of a certificate or a key.
key_of() { openssl x509 -in "$1" -noout -pubkey 2>/dev/null || openssl pkey -in "$1" -pubout; }

a_key_without_its_certificate_is_replaced() {
  local tls=$folder/tls name
  deploy/local/certificate "$tls" || fail "no certificate was made"
  for name in gateway ca; do
    openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$tls/$name.key" 2>/dev/null
    deploy/local/certificate "$tls" || fail "no certificate was made after the key of $name had changed"
    [ "$(key_of "$tls/gateway.pem")" = "$(key_of "$tls/gateway.key")" ] || fail "$name: the certificate is not for its key"
    openssl verify -CAfile "$tls/ca.pem" "$tls/gateway.pem" >/dev/null 2>&1 || fail "$name: its authority has not signed the certificate"
  done
}

a_rotation_for_one_reaches_all
a_link_is_replaced
a_key_without_its_certificate_is_replaced
echo "ok"
