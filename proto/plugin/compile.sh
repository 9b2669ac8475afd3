#!/bin/sh
# Compiles all contracts at once: judges them as the gateway will, compares them with the released ones, and writes the C
# of both generators and the descriptor set. Only what changed is written, so that only its users are compiled again.
#
#   sh proto/plugin/compile.sh PLUGIN GEN PROTOSET item/v1/item.proto...
#
# PROTO_INCLUDE is the folder of Google's files.
set -eu
plugin=$1
gen=$2
protoset=$3
shift 3
released=proto/released.protoset

mkdir -p "$gen"
work=$(mktemp -d "$gen/compile.XXXXXX")
trap 'rm -rf "$work"' EXIT
# dash leaves the working folder behind when a signal ends it, unless the signal is trapped.
trap 'exit 130' HUP INT TERM

# Runs a step. Its messages name files as protoc does, below proto/; here they get the path from the root.
step() {
  result=0
  "$@" >"$work/out" 2>"$work/log" || result=1
  sed 's|^\([A-Za-z0-9_/-]*\.proto:\)|proto/\1|' "$work/log" >&2
  [ "$result" = 0 ] || exit 1
}

step protoc -Iproto "-I${PROTO_INCLUDE:-/usr/include}" --include_imports --include_source_info \
  "--descriptor_set_out=$work/set" "$@"
if [ -e "$released" ]; then
  step "$plugin" check "$work/set" "$released"
else
  step "$plugin" check "$work/set"
fi
step protoc "--descriptor_set_in=$work/set" "--plugin=protoc-gen-bulkhead=$plugin" "--bulkhead_out=$work" "$@"
step "$plugin" plain "$work/set"
mv "$work/out" "$work/plain"
step protoc-c "--descriptor_set_in=$work/plain" "--c_out=$work" "$@"

for proto in "$@"; do
  stem=${proto%.proto}
  mkdir -p "$gen/${stem%/*}"
  for file in "$stem.bh.h" "$stem.bh.c" "$stem.pb-c.h" "$stem.pb-c.c"; do
    cmp -s "$work/$file" "$gen/$file" || mv "$work/$file" "$gen/$file"
  done
done
mv "$work/set" "$protoset"
