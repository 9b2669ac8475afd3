// Every contract in data/bad has one mistake (many_mistakes.proto some more) and "// expect:" lines with its
// diagnostics. protoc-gen-bulkhead prints them at build, and the gateway in the same words at its start.
#include <criterion/criterion.h>
#include <dirent.h>
#include <stdio.h>
#include <string.h>

#include "common/contract/contract.h"
#include "tests/unit/plugin/command.h"

#define BAD "tests/unit/plugin/data/bad"
#define INCLUDES "-I" BAD " -Iproto -I/usr/include"
#define EXPECT_MARK "// expect: "
// protoc names the plugin in front of its error.
#define PLUGIN_MARK "--bulkhead_out: \n"

static void read_expected(const char *name, struct strbuf *expected)
{
  char path[512];
  snprintf(path, sizeof(path), BAD "/%s", name);
  FILE *file = fopen(path, "r");
  cr_assert_not_null(file, "%s", path);
  char line[1024];
  while (fgets(line, sizeof(line), file) != NULL)
    if (strncmp(line, EXPECT_MARK, strlen(EXPECT_MARK)) == 0)
      strbuf_add_string(expected, line + strlen(EXPECT_MARK));
  fclose(file);
  cr_assert(expected->size > 0, "%s expects nothing", path);
}

static void expect_plugin_refuses(const char *name, const char *folder, const char *expected)
{
  struct strbuf output;
  strbuf_init(&output, 0);
  int code = command_run(
      &output, "protoc " INCLUDES " --plugin=protoc-gen-bulkhead=%s/protoc-gen-bulkhead --bulkhead_out=%s " BAD "/%s",
      command_bin(), folder, name);
  cr_expect_neq(code, 0, "%s", name);
  const char *error = strstr(strbuf_cstring(&output), PLUGIN_MARK);
  cr_expect(error != NULL, "%s: %s", name, strbuf_cstring(&output));
  if (error != NULL)
    cr_expect_str_eq(error + strlen(PLUGIN_MARK), expected);
  cr_expect_eq(command_run(&output, "ls %s | grep .", folder), 1, "%s leaves files", name);
  strbuf_free(&output);
}

static void expect_load_refuses(const char *name, const char *folder, const char *expected)
{
  struct strbuf set;
  struct strbuf text;
  struct diagnostics diagnostics;
  struct contract *contract;
  strbuf_init(&set, 0);
  strbuf_init(&text, 0);
  diagnostics_init(&diagnostics);
  int code = command_run(&set,
                         "protoc " INCLUDES " --include_imports --include_source_info --descriptor_set_out=%s/set " BAD
                         "/%s 2> %s/log; cat %s/set; rm %s/set %s/log",
                         folder, name, folder, folder, folder, folder);
  cr_assert_eq(code, 0);
  cr_expect_eq(contract_load(strbuf_slice(&set), &contract, &diagnostics), STATUS_INVALID_ARGUMENT, "%s", name);
  cr_expect_null(contract);
  diagnostics_write(&diagnostics, &text);
  strbuf_add_byte(&text, '\n');
  cr_expect_str_eq(strbuf_cstring(&text), expected);
  diagnostics_free(&diagnostics);
  strbuf_free(&text);
  strbuf_free(&set);
}

static void expect_refused(const char *name)
{
  char folder[64];
  struct strbuf expected;
  command_make_folder(folder);
  strbuf_init(&expected, 0);
  read_expected(name, &expected);
  expect_plugin_refuses(name, folder, strbuf_cstring(&expected));
  expect_load_refuses(name, folder, strbuf_cstring(&expected));
  strbuf_free(&expected);
  command_remove_folder(folder);
}

Test(verdicts, plugin_and_gateway_refuse_every_bad_contract_in_the_same_words)
{
  DIR *folder = opendir(BAD);
  cr_assert_not_null(folder);
  size_t count = 0;
  const struct dirent *entry;
  while ((entry = readdir(folder)) != NULL) {
    size_t size = strlen(entry->d_name);
    if (size < 6 || strcmp(entry->d_name + size - 6, ".proto") != 0)
      continue;
    expect_refused(entry->d_name);
    count++;
  }
  closedir(folder);
  cr_expect(count > 100, "only %zu contracts were found", count);
}

Test(verdicts, a_set_without_source_info_is_refused_without_lines)
{
  struct strbuf output;
  strbuf_init(&output, 0);
  int code = command_run(&output,
                         "s=$(mktemp); protoc " INCLUDES " --include_imports --descriptor_set_out=$s " BAD
                         "/policy_missing.proto; %s/protoc-gen-bulkhead check $s; c=$?; rm $s; exit $c",
                         command_bin());
  cr_expect_eq(code, 1);
  cr_expect(strncmp(strbuf_cstring(&output), "policy_missing.proto: bad.v1.BadService.Call: the method has no access",
                    60) == 0,
            "%s", strbuf_cstring(&output));
  strbuf_free(&output);
}
