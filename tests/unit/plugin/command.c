#include "tests/unit/plugin/command.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

int command_run(struct strbuf *output, const char *format, ...)
{
  struct strbuf command;
  strbuf_init(&command, 0);
  strbuf_add_string(&command, "{ ");
  va_list args;
  va_start(args, format);
  strbuf_vprintf(&command, format, args);
  va_end(args);
  strbuf_add_string(&command, "; } 2>&1");
  strbuf_clear(output);
  FILE *pipe = popen(strbuf_cstring(&command), "r");
  cr_assert_not_null(pipe);
  strbuf_free(&command);
  char buffer[4096];
  size_t count;
  while ((count = fread(buffer, 1, sizeof(buffer), pipe)) > 0)
    strbuf_add(output, slice_make(buffer, count));
  int result = pclose(pipe);
  return WIFEXITED(result) ? WEXITSTATUS(result) : -1;
}

const char *command_bin(void)
{
  const char *bin = getenv("BULKHEAD_BIN");
  cr_assert_not_null(bin, "BULKHEAD_BIN must name the folder of built programs");
  return bin;
}

void command_make_folder(char path[64])
{
  snprintf(path, 64, "/tmp/bulkhead-plugin-XXXXXX");
  cr_assert_not_null(mkdtemp(path));
}

void command_remove_folder(const char *path)
{
  struct strbuf output;
  strbuf_init(&output, 0);
  cr_assert_eq(command_run(&output, "rm -r '%s'", path), 0);
  strbuf_free(&output);
}

void command_write_file(const char *folder, const char *name, const char *text, size_t size)
{
  char path[256];
  snprintf(path, sizeof(path), "%s/%s", folder, name);
  FILE *file = fopen(path, "w");
  cr_assert_not_null(file);
  cr_assert_eq(fwrite(text, 1, size, file), size);
  cr_assert_eq(fclose(file), 0);
}

void command_write_text(const char *folder, const char *name, const char *text)
{
  command_write_file(folder, name, text, strlen(text));
}

void command_expect_refused(const char *script, const char *folder, const char *message)
{
  struct strbuf output;
  strbuf_init(&output, 0);
  cr_expect_eq(command_run(&output, "%s %s", script, folder), 1);
  cr_expect_not_null(strstr(strbuf_cstring(&output), message), "got: %s", strbuf_cstring(&output));
  strbuf_free(&output);
  command_remove_folder(folder);
}
