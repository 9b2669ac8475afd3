// Reads and writes kept descriptions. Each is a line of words: "query NAME reads|writes", "type OID", "column NAME OID
// null|notnull", and "end".
#include "proto/query/kept.h"

#include <string.h>

#include "common/base/hash.h"
#include "proto/query/file.h"

// The version of the format and of what is described. Raise it to have unchanged queries described again.
#define VERSION "3"

static void add_files(struct strbuf *text, const struct sql_file *files, size_t count)
{
  for (size_t i = 0; i < count; i++) {
    strbuf_printf(text, "%s %zu\n", files[i].path, files[i].text.size);
    strbuf_add(text, files[i].text);
  }
}

const char *kept_path(const struct service_source *service, const char *folder, struct arena *arena)
{
  struct strbuf text;
  strbuf_init(&text, 0);
  strbuf_add_string(&text, VERSION);
  add_files(&text, service->common_migrations, service->common_migration_count);
  add_files(&text, service->migrations, service->migration_count);
  add_files(&text, service->files, service->file_count);
  uint64_t hash = hash_fingerprint(strbuf_slice(&text));
  strbuf_free(&text);
  return arena_printf(arena, "%s/%s-%016llx", folder, service->name, (unsigned long long)hash);
}

enum status kept_write(const struct service_source *service, const char *path, struct error *error)
{
  struct strbuf text;
  strbuf_init(&text, 0);
  for (size_t i = 0; i < service->query_count; i++) {
    const struct query_source *query = &service->queries[i];
    const struct description *description = &query->description;
    strbuf_printf(&text, "query " SLICE_FMT " %s\n", SLICE_ARG(query->name),
                  description->read_only ? "reads" : "writes");
    for (size_t k = 0; k < description->type_count; k++)
      strbuf_printf(&text, "type %u\n", description->types[k]);
    for (size_t k = 0; k < description->column_count; k++)
      strbuf_printf(&text, "column %s %u %s\n", description->columns[k].name, description->columns[k].type,
                    description->columns[k].nullable ? "null" : "notnull");
  }
  strbuf_add_string(&text, "end\n");
  enum status status = file_write(path, strbuf_slice(&text), error);
  strbuf_free(&text);
  return status;
}

// ---- reading ----

struct words {
  struct slice items[4];
  size_t count;
};

static struct words split(struct slice line)
{
  struct words words = {.count = 0};
  while (line.size > 0 && words.count < 4) {
    size_t space = slice_find(line, ' ', 0);
    words.items[words.count++] = slice_make(line.data, space);
    line = slice_skip(line, space + 1);
  }
  return words;
}

static struct query_source *find_query(struct service_source *service, struct slice name)
{
  for (size_t i = 0; i < service->query_count; i++)
    if (slice_equal(service->queries[i].name, name))
      return &service->queries[i];
  return NULL;
}

static bool read_type(struct description *description, const struct words *words)
{
  uint64_t type = 0;
  if (description == NULL || description->type_count == MAX_PARAMETERS ||
      !slice_to_uint64(words->items[1], 1, UINT32_MAX, &type))
    return false;
  description->types[description->type_count++] = (unsigned)type;
  return true;
}

static bool read_column(struct description *description, const struct words *words, struct arena *arena)
{
  uint64_t type = 0;
  if (description == NULL || words->count != 4 || !slice_to_uint64(words->items[2], 1, UINT32_MAX, &type))
    return false;
  struct column *columns = arena_zalloc(arena, (description->column_count + 1) * sizeof(*columns));
  if (description->column_count > 0)
    memcpy(columns, description->columns, description->column_count * sizeof(*columns));
  columns[description->column_count++] = (struct column){
      .name = arena_string(arena, words->items[1]),
      .type = (unsigned)type,
      .nullable = slice_equal_string(words->items[3], "null"),
  };
  description->columns = columns;
  return true;
}

static bool read_lines(struct service_source *service, struct slice text, struct arena *arena)
{
  struct description *description = NULL;
  while (text.size > 0) {
    struct slice line = slice_make(text.data, slice_find(text, '\n', 0));
    text = slice_skip(text, line.size + 1);
    struct words words = split(line);
    if (words.count == 1)
      return slice_equal_string(words.items[0], "end");
    if (words.count == 3 && slice_equal_string(words.items[0], "query")) {
      struct query_source *query = find_query(service, words.items[1]);
      description = query == NULL ? NULL : &query->description;
      if (description != NULL)
        *description = (struct description){.read_only = slice_equal_string(words.items[2], "reads")};
    } else if (words.count == 2 ? !read_type(description, &words) : !read_column(description, &words, arena)) {
      return false;
    }
  }
  return false;
}

bool kept_read(struct service_source *service, const char *path, struct arena *arena)
{
  struct slice text;
  struct error error;
  return file_read(path, arena, &text, &error) == STATUS_OK && read_lines(service, text, arena);
}
