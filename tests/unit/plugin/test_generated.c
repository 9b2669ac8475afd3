// What protoc-gen-bulkhead does with contracts: bad ones are refused with the lines that their own "// expect:"
// comments hold, a good one is compiled and asked.
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "tests/unit/plugin/command.h"

#define DATA "tests/unit/plugin/data"
#define EXPECT_MARK "// expect: "

static void read_expected(const char *path, struct strbuf *expected)
{
  FILE *file = fopen(path, "r");
  cr_assert_not_null(file, "%s", path);
  char line[512];
  while (fgets(line, sizeof(line), file) != NULL) {
    if (strncmp(line, EXPECT_MARK, sizeof(EXPECT_MARK) - 1) == 0)
      strbuf_add_string(expected, line + sizeof(EXPECT_MARK) - 1);
  }
  fclose(file);
}

static void expect_refused(const char *name)
{
  char folder[64];
  command_make_folder(folder);
  struct strbuf expected;
  struct strbuf output;
  strbuf_init(&expected, 0);
  strbuf_init(&output, 0);
  char path[128];
  snprintf(path, sizeof(path), DATA "/bad/%s", name);
  read_expected(path, &expected);
  int code = command_run(&output,
                         "protoc -I" DATA "/bad -Iproto -I/usr/include --plugin=protoc-gen-bulkhead=%s/"
                         "protoc-gen-bulkhead --bulkhead_out=%s %s",
                         command_bin(), folder, path);
  cr_expect_neq(code, 0);
  // protoc puts "--bulkhead_out: " before the first line.
  const char *text = strbuf_cstring(&output);
  const char *ours = strstr(text, "--bulkhead_out: ");
  cr_assert_not_null(ours, "%s", text);
  cr_expect_str_eq(ours + strlen("--bulkhead_out: "), strbuf_cstring(&expected));
  cr_expect_eq(command_run(&output, "ls %s | grep .", folder), 1, "a refused contract leaves no files");
  strbuf_free(&expected);
  strbuf_free(&output);
  command_remove_folder(folder);
}

Test(plugin, refuses_methods_without_a_sound_policy)
{
  expect_refused("policy.proto");
}

Test(plugin, refuses_rules_that_would_not_hold)
{
  expect_refused("rules.proto");
}

Test(plugin, refuses_recursive_messages)
{
  expect_refused("recursive.proto");
}

Test(plugin, refuses_optional_fields)
{
  expect_refused("presence.proto");
}

Test(plugin, refuses_proto2_and_files_without_package)
{
  expect_refused("head.proto");
}

Test(plugin, generated_code_compiles_with_protoc_c_and_says_what_the_contract_says)
{
  char folder[64];
  command_make_folder(folder);
  struct strbuf output;
  strbuf_init(&output, 0);
  int code =
      command_run(&output,
                  "set -e; o=%s; i='-I" DATA "/good -Iproto -I/usr/include'; "
                  "protoc $i --plugin=protoc-gen-bulkhead=%s/protoc-gen-bulkhead --bulkhead_out=$o "
                  "odd/v1/names.proto odd/v1/shared.proto; "
                  "protoc-c $i --c_out=$o odd/v1/names.proto odd/v1/shared.proto bulkhead/v1/options.proto "
                  "google/protobuf/empty.proto google/protobuf/field_mask.proto google/protobuf/descriptor.proto; "
                  "cc -std=gnu11 -Wall -Wextra -Werror -I. -I$o -o $o/probe " DATA "/probe.c $o/odd/v1/*.c "
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
