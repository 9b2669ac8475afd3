// Creating the files of a new migration.
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/storage/migrate.h"

static char folder[] = "/tmp/bulkhead-test-XXXXXX";

static bool is_there(const char *name)
{
  char path[200];
  snprintf(path, sizeof(path), "%s/%s", folder, name);
  return access(path, F_OK) == 0;
}

static void drop(const char *name)
{
  char path[200];
  snprintf(path, sizeof(path), "%s/%s", folder, name);
  cr_assert_eq(unlink(path), 0);
}

Test(migrate_create, takes_the_next_number)
{
  struct strbuf out;
  struct error error = {0};
  cr_assert_not_null(mkdtemp(folder));
  strbuf_init(&out, 0);
  cr_assert_eq(migrate_create(folder, "items", &out, &error), STATUS_OK, "%s", error.message);
  cr_assert_eq(migrate_create(folder, "more_2", &out, &error), STATUS_OK, "%s", error.message);
  static const char *const NAMES[] = {"0001_items.up.sql", "0001_items.down.sql", "0002_more_2.up.sql",
                                      "0002_more_2.down.sql"};
  for (size_t i = 0; i < ARRAY_LEN(NAMES); i++) {
    cr_assert(is_there(NAMES[i]), "%s", NAMES[i]);
    cr_assert_not_null(strstr(strbuf_cstring(&out), NAMES[i]));
    drop(NAMES[i]);
  }
  strbuf_free(&out);
  cr_assert_eq(rmdir(folder), 0, "nothing else was made");
}

Test(migrate_create, refuses_other_names_and_folders)
{
  static const char *const BAD[] = {"", "Upper", "a b", "../x", "a-b", "ü", "a.sql"};
  struct strbuf out;
  struct error error = {0};
  strbuf_init(&out, 0);
  cr_assert_not_null(mkdtemp(folder));
  for (size_t i = 0; i < ARRAY_LEN(BAD); i++)
    cr_assert_eq(migrate_create(folder, BAD[i], &out, &error), STATUS_INVALID_ARGUMENT, "%s", BAD[i]);
  cr_assert_eq(rmdir(folder), 0, "nothing was made");
  cr_assert_eq(migrate_create(folder, "gone", &out, &error), STATUS_NOT_FOUND);
  cr_assert_eq(out.size, 0);
  strbuf_free(&out);
}
