#include "proto/query/file.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/strbuf.h"

#define MAX_FILES 1000

static enum status set_file_error(const char *path, struct error *error)
{
  return error_set(error, STATUS_INTERNAL, "%s: %s", path, strerror(errno));
}

enum status file_read(const char *path, struct arena *arena, struct slice *text, struct error *error)
{
  struct strbuf bytes;
  strbuf_init(&bytes, 0);
  enum status status = strbuf_read_file(&bytes, path) ? STATUS_OK : set_file_error(path, error);
  *text = slice_make(arena_string(arena, strbuf_slice(&bytes)), bytes.size);
  strbuf_free(&bytes);
  return status;
}

static bool holds(const char *path, struct slice text)
{
  struct arena arena = {0};
  struct slice now = SLICE("");
  struct error ignored;
  bool same = access(path, R_OK) == 0 && file_read(path, &arena, &now, &ignored) == STATUS_OK && slice_equal(now, text);
  arena_free(&arena);
  return same;
}

static void make_folder_of(const char *path)
{
  char folder[4096];
  for (size_t i = 1; i < sizeof(folder) && path[i] != '\0'; i++) {
    if (path[i] != '/')
      continue;
    memcpy(folder, path, i);
    folder[i] = '\0';
    (void)mkdir(folder, 0777);
  }
}

enum status file_write(const char *path, struct slice text, struct error *error)
{
  if (holds(path, text))
    return STATUS_OK;
  make_folder_of(path);
  char temporary[4096];
  (void)snprintf(temporary, sizeof(temporary), "%s.%d", path, (int)getpid());
  FILE *file = fopen(temporary, "we");
  if (file == NULL)
    return set_file_error(temporary, error);
  bool good = fwrite(text.data, 1, text.size, file) == text.size;
  good = fclose(file) == 0 && good;
  if (!good || rename(temporary, path) != 0) {
    enum status status = set_file_error(path, error);
    (void)unlink(temporary);
    return status;
  }
  return STATUS_OK;
}

static int compare_paths(const void *a, const void *b)
{
  return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static bool ends_with(const char *name, const char *suffix)
{
  size_t size = strlen(name), end = strlen(suffix);
  return size > end && strcmp(name + size - end, suffix) == 0;
}

const char **file_list(const char *folder, const char *suffix, struct arena *arena)
{
  const char **paths = arena_array(arena, MAX_FILES + 1, sizeof(*paths));
  size_t count = 0;
  DIR *dir = opendir(folder);
  const struct dirent *entry;
  while (dir != NULL && count < MAX_FILES && (entry = readdir(dir)) != NULL)
    if (ends_with(entry->d_name, suffix))
      paths[count++] = arena_printf(arena, "%s/%s", folder, entry->d_name);
  if (dir != NULL)
    (void)closedir(dir);
  qsort(paths, count, sizeof(*paths), compare_paths);
  paths[count] = NULL;
  return paths;
}
