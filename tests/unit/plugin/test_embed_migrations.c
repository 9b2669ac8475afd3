// embed_migrations.sh: what it embeds is what the files hold, byte for byte, and what it refuses.
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "tests/unit/plugin/command.h"

#define SCRIPT "sh proto/plugin/embed_migrations.sh shop"

// The pieces of the files: quotes, backslashes, trigraphs, tabs, octal look-alikes, UTF-8, no newline at the end, CRLF.
static const char hard_sql[] = "CREATE TABLE \"t\" (x text DEFAULT E'\\n?\?/');\r\n\n\t-- \303\2511 %s %d \001\0010";

Test(embed_migrations, embeds_every_byte_in_order)
{
  char folder[64];
  command_make_folder(folder);
  command_write_text(folder, "0001_first.up.sql", hard_sql);
  command_write_text(folder, "0001_first.down.sql", "DROP TABLE t;\n");
  command_write_text(folder, "0002_second_thing.up.sql", "-- compatible from: 0001\nSELECT 1;\n");
  command_write_text(folder, "0002_second_thing.down.sql", hard_sql);
  command_write_text(folder, "notes.txt", "not SQL");
  command_write_text(
      folder, "show.c",
      "#include <stdio.h>\n#include \"common/storage/migrate.h\"\n"
      "extern const struct migration_set shop_migrations;\n"
      "int main(void) { const struct migration_set *s = &shop_migrations; printf(\"%s %zu\\n\", s->schema, "
      "s->count);\n"
      "for (size_t i = 0; i < s->count; i++) { const struct migration *m = &s->migrations[i]; printf(\"%u %s %u\\n\","
      " m->version, m->name, m->compatible_from); fwrite(m->up.data, 1, m->up.size, stdout); fwrite(m->down.data, 1, "
      "m->down.size, "
      "stdout); } }\n");
  struct strbuf output;
  strbuf_init(&output, 0);
  int code = command_run(&output,
                         "f=%s; " SCRIPT " $f > $f/embedded.c && cc -std=gnu11 -Wall -Werror -I. $f/embedded.c "
                         "$f/show.c -o $f/show && $f/show",
                         folder);
  cr_expect_eq(code, 0);
  struct strbuf expected;
  strbuf_init(&expected, 0);
  strbuf_printf(&expected,
                "shop 2\n1 first 0\n%sDROP TABLE t;\n2 second_thing 1\n-- compatible from: 0001\nSELECT 1;\n%s",
                hard_sql, hard_sql);
  cr_expect_str_eq(strbuf_cstring(&output), strbuf_cstring(&expected));
  strbuf_free(&expected);
  strbuf_free(&output);
  command_remove_folder(folder);
}

static void expect_refused(const char *const *files, size_t count, const char *message)
{
  char folder[64];
  command_make_folder(folder);
  for (size_t i = 0; i < count; i++)
    command_write_text(folder, files[i], strstr(files[i], "empty") != NULL ? "" : "SELECT 1;\n");
  command_expect_refused(SCRIPT, folder, message);
}
#define EXPECT_REFUSED(message, ...)                                                                                   \
  expect_refused((const char *const[]){__VA_ARGS__}, sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *),      \
                 message)

Test(embed_migrations, refuses_what_would_fail_at_an_operators)
{
  EXPECT_REFUSED("0002_b.up.sql: number 0001 was expected", "0002_b.up.sql", "0002_b.down.sql");
  EXPECT_REFUSED("number 0002 was expected", "0001_a.up.sql", "0001_a.down.sql", "0003_c.up.sql", "0003_c.down.sql");
  EXPECT_REFUSED("number 0002 was expected", "0001_a.up.sql", "0001_a.down.sql", "0001_b.up.sql", "0001_b.down.sql");
  EXPECT_REFUSED("/0001_a.up.sql: 0001_a.down.sql is missing beside it; write what undoes it", "0001_a.up.sql");
  EXPECT_REFUSED("/0001_a.down.sql: 0001_a.up.sql is missing beside it; write it, or delete this file",
                 "0001_a.down.sql");
  EXPECT_REFUSED("must end in .up.sql or .down.sql", "0001_a.sql");
  EXPECT_REFUSED("must begin with four digits", "1_a.up.sql", "1_a.down.sql");
  EXPECT_REFUSED("must be of a-z, 0-9 and _", "0001_A-b.up.sql", "0001_A-b.down.sql");
  EXPECT_REFUSED("/0001_empty.up.sql: it is empty; write its SQL, or a comment that says why there is none",
                 "0001_empty.up.sql", "0001_empty.down.sql");
}

static void expect_declaration_refused(const char *text, const char *message)
{
  char folder[64];
  command_make_folder(folder);
  command_write_text(folder, "0001_a.up.sql", text);
  command_write_text(folder, "0001_a.down.sql", "SELECT 1;\n");
  command_expect_refused(SCRIPT, folder, message);
}

Test(embed_migrations, refuses_declarations_that_would_be_overlooked)
{
  expect_declaration_refused("-- compatible from: 0002\n",
                             "0001_a.up.sql:1: compatible from: 0002 is a later migration");
  expect_declaration_refused("-- compatible: yes\n", "0001_a.up.sql:1: this must be the first line, and read");
  expect_declaration_refused("-- compatible from: 1\n", "0001_a.up.sql:1: this must be the first line, and read");
  expect_declaration_refused("SELECT 1;\n-- Compatible from: 0001\n", "0001_a.up.sql:2: this must be the first line");
}
