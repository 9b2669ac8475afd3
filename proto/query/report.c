#include <stdarg.h>

#include "proto/query/model.h"

static const struct sql_file *file_of(const struct sql_file *files, size_t count, const char *at)
{
  for (size_t i = 0; i < count; i++)
    if (at >= files[i].text.data && at <= files[i].text.data + files[i].text.size)
      return &files[i];
  return NULL;
}

static size_t line_of(const struct sql_file *file, const char *at)
{
  size_t line = 1;
  for (const char *c = file->text.data; c < at; c++)
    line += *c == '\n';
  return line;
}

void findings_add(struct findings *findings, const struct service_source *service, const struct query_source *query,
                  const char *at, const char *format, ...)
{
  const struct sql_file *file = file_of(service->files, service->file_count, at);
  if (file == NULL)
    file = file_of(service->migrations, service->migration_count, at);
  if (file != NULL)
    strbuf_printf(&findings->text, "%s:%zu: ", file->path, line_of(file, at));
  else
    strbuf_printf(&findings->text, "services/%s/queries: ", service->name);
  if (query != NULL)
    strbuf_printf(&findings->text, SLICE_FMT ": ", SLICE_ARG(query->name));
  va_list args;
  va_start(args, format);
  strbuf_vprintf(&findings->text, format, args);
  va_end(args);
  strbuf_add_byte(&findings->text, '\n');
  findings->count++;
}
