#!/bin/sh
# Prints a C file that defines `const struct slice service_descriptors` (common/service/reflection_internal.h): the
# contracts and all that they import as a FileDescriptorSet, without comments and places.
#
#   sh proto/plugin/embed_descriptors.sh PROTOSET item/v1/item.proto...
set -eu
protoset=$1
shift

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' HUP INT TERM
protoc "--descriptor_set_in=$protoset" --include_imports "--descriptor_set_out=$work/set" "$@"

echo "// Made by embed_descriptors.sh from the contracts. Do not edit."
echo '#include "common/service/reflection_internal.h"'
echo
echo "static const unsigned char bytes[] = {"
od -An -v -tu1 "$work/set" | sed 's/  *\([0-9][0-9]*\)/\1,/g'
echo "};"
echo
echo "const struct slice service_descriptors = {.data = (const char *)bytes, .size = sizeof(bytes)};"
