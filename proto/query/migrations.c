#include "proto/query/migrations.h"

#include <string.h>

#define NUMBER_DIGITS 4

static const char *base_of(const struct sql_file *file)
{
  return strrchr(file->path, '/') + 1;
}

// Reads the number in front of the name: "0002_colour.up.sql" gives 2. False where the name begins otherwise.
static bool read_number(const struct sql_file *file, unsigned *number)
{
  const char *base = base_of(file);
  *number = 0;
  for (size_t i = 0; i < NUMBER_DIGITS; i++) {
    if (base[i] < '0' || base[i] > '9')
      return false;
    *number = *number * 10 + (unsigned)(base[i] - '0');
  }
  return base[NUMBER_DIGITS] == '_';
}

static const char *file_of_number(const struct service_source *service, size_t count, unsigned number)
{
  unsigned other;
  for (size_t i = 0; i < count; i++)
    if (read_number(&service->migrations[i], &other) && other == number)
      return base_of(&service->migrations[i]);
  return NULL;
}

void check_migrations(const struct service_source *service, struct findings *findings)
{
  for (size_t i = 0; i < service->migration_count; i++) {
    const char *at = service->migrations[i].text.data;
    unsigned number = 0;
    if (!read_number(&service->migrations[i], &number)) {
      findings_add(findings, service, NULL, at,
                   "the name must begin with four digits and a _, such as 0001_items.up.sql; rename it and its "
                   ".down.sql");
      return;
    }
    const char *same = file_of_number(service, i, number);
    if (same != NULL)
      findings_add(findings, service, NULL, at,
                   "%s has the number %04u, too; rename the one that no database has yet, and its .down.sql, to a "
                   "number behind all others",
                   same, number);
    if (same == NULL && number != i + 1)
      findings_add(findings, service, NULL, at,
                   "number %04zu was expected here; numbers go up by one, each once: rename it and its .down.sql",
                   i + 1);
    if (same != NULL || number != i + 1)
      return;
  }
}
