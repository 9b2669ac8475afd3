// What protoc-gen-bulkhead writes: a good contract is compiled together with what protoc-c writes, and asked.
#include <criterion/criterion.h>
#include <string.h>

#include "tests/unit/plugin/command.h"

#define DATA "tests/unit/plugin/data"

Test(plugin, generated_code_compiles_with_protoc_c_and_says_what_the_contract_says)
{
  char folder[64];
  command_make_folder(folder);
  struct strbuf output;
  strbuf_init(&output, 0);
  int code = command_run(
      &output,
      "set -e; o=%s; i='-I" DATA "/good -Iproto -I/usr/include'; "
      "p=%s/protoc-gen-bulkhead; f='odd/v1/names.proto odd/v1/shared.proto odd/v1/presence.proto odd/v1/contents.proto "
      "odd/v1/old.proto'; "
      "protoc $i --include_imports --descriptor_set_out=$o/set $f; "
      "protoc --descriptor_set_in=$o/set --plugin=protoc-gen-bulkhead=$p --bulkhead_out=$o $f; "
      "$p plain $o/set > $o/plain; "
      "protoc-c --descriptor_set_in=$o/plain --c_out=$o $f bulkhead/v1/options.proto "
      "google/protobuf/empty.proto google/protobuf/field_mask.proto google/protobuf/descriptor.proto "
      "google/protobuf/any.proto google/protobuf/struct.proto; "
      "cc -std=gnu11 -Wall -Wextra -Wno-missing-braces -Werror -I. -I$o -o $o/probe " DATA "/probe.c $o/odd/v1/*.c "
      "$o/bulkhead/v1/*.c $o/google/protobuf/*.c -lprotobuf-c; $o/probe",
      folder, command_bin());
  cr_expect_eq(code, 0, "%s", strbuf_cstring(&output));
  strbuf_free(&output);
  command_remove_folder(folder);
}

Test(plugin, says_what_it_is_when_run_by_hand)
{
  struct strbuf output;
  strbuf_init(&output, 0);
  cr_expect_eq(command_run(&output, "printf 'nonsense' | %s/protoc-gen-bulkhead", command_bin()), 1);
  cr_expect_not_null(strstr(strbuf_cstring(&output), "run me through protoc"));
  strbuf_free(&output);
}
