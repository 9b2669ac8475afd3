// Creates the pair of files for a new migration.
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "common/storage/migrate.h"

enum { DIGITS = 4, MAX_VERSION = 9999, MAX_NAME = 64 };

static bool is_name(const char *name)
{
  size_t size = strlen(name);
  return size > 0 && size <= MAX_NAME && strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_") == size;
}

static enum status find_next(const char *folder, unsigned *next, struct error *error)
{
  DIR *entries = opendir(folder);
  if (entries == NULL)
    return error_set(error, STATUS_NOT_FOUND, "%s: %s", folder, strerror(errno));
  uint64_t last = 0;
  for (const struct dirent *entry; (entry = readdir(entries)) != NULL;) {
    struct slice name = slice_from_string(entry->d_name);
    uint64_t version = 0;
    if (name.size <= DIGITS || name.data[DIGITS] != '_')
      continue;
    // slice_to_uint64 refuses "0007", because of its leading zeros.
    bool number = true;
    for (size_t i = 0; i < DIGITS; i++) {
      number = number && name.data[i] >= '0' && name.data[i] <= '9';
      version = version * 10 + (uint64_t)(name.data[i] - '0');
    }
    if (number && version > last)
      last = version;
  }
  closedir(entries);
  if (last >= MAX_VERSION)
    return error_set(error, STATUS_OUT_OF_RANGE, "%s: no number is left after %d", folder, MAX_VERSION);
  *next = (unsigned)last + 1;
  return STATUS_OK;
}

static enum status make_file(const char *path, struct error *error)
{
  int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
  if (fd < 0)
    return error_set(error, errno == EEXIST ? STATUS_ALREADY_EXISTS : STATUS_INTERNAL, "%s: %s", path, strerror(errno));
  close(fd);
  return STATUS_OK;
}

enum status migrate_create(const char *folder, const char *name, struct strbuf *out, struct error *error)
{
  if (!is_name(name))
    return error_set(error, STATUS_INVALID_ARGUMENT,
                     "migration name: write 1 to %d lower-case letters, digits and underscores", MAX_NAME);
  unsigned next = 0;
  enum status status = find_next(folder, &next, error);
  static const char *const DIRECTIONS[] = {"up", "down"};
  for (size_t i = 0; i < ARRAY_LEN(DIRECTIONS) && status == STATUS_OK; i++) {
    struct strbuf path;
    strbuf_init(&path, 0);
    strbuf_printf(&path, "%s/%04u_%s.%s.sql", folder, next, name, DIRECTIONS[i]);
    status = make_file(strbuf_cstring(&path), error);
    if (status == STATUS_OK)
      strbuf_printf(out, "%s\n", strbuf_cstring(&path));
    strbuf_free(&path);
  }
  return status;
}
