// Reads .sql files. A file holds statements, each under its annotations, each ended by a semicolon.
//
//   -- name: get :gathered
//   -- row: item.v1.Item
//   -- Prose becomes the comment of the function.
//   SELECT {item}, k.place FROM unnest(:id::uuid[]) WITH ORDINALITY AS k(key, place) JOIN items ON id = k.key;
#include "proto/query/source.h"

#include <string.h>

#include "proto/query/file.h"
#include "proto/query/token.h"

#define MAX_QUERIES 200
#define MAX_FRAGMENTS 50

struct reader {
  struct service_source *service;
  struct arena *arena;
  struct findings *findings;
  struct slice left;           // the text of the file that is not read yet
  struct query_source *query;  // whose annotations are being read, or NULL
  struct token_place place;
};

static struct slice next_line(struct slice text)
{
  return slice_make(text.data, slice_find(text, '\n', 0));
}

static void skip_line(struct reader *reader)
{
  reader->left = slice_skip(reader->left, next_line(reader->left).size + 1);
}

static bool is_word(struct slice text)
{
  for (size_t i = 0; i < text.size; i++)
    if (!((text.data[i] >= 'a' && text.data[i] <= 'z') || (i > 0 && text.data[i] >= '0' && text.data[i] <= '9') ||
          (i > 0 && text.data[i] == '_')))
      return false;
  return text.size > 0;
}

// Takes the first word off `text`.
static struct slice take_word(struct slice *text)
{
  *text = slice_trim(*text);
  size_t size = slice_find(*text, ' ', 0);
  struct slice word = slice_make(text->data, size);
  *text = slice_trim(slice_skip(*text, size));
  return word;
}

// ---- annotations ----

typedef void read_annotation(struct reader *reader, struct slice argument, struct slice value);

// Reports an annotation that does not give its reason.
static void check_reason(struct reader *reader, struct slice value, const char *example)
{
  if (value.size == 0)
    findings_add(reader->findings, reader->service, reader->query, value.data, "it must say why: \"%s\"", example);
}

static void read_row(struct reader *reader, struct slice argument, struct slice value)
{
  (void)argument;
  reader->query->row_at = value;
}

static void read_params(struct reader *reader, struct slice argument, struct slice value)
{
  (void)argument;
  struct query_source *query = reader->query;
  struct slice at = value;
  struct slice type = take_word(&value);
  struct slice as = take_word(&value);
  if (query->argument_count == 4 || !slice_equal_string(as, "as") || !is_word(value)) {
    findings_add(reader->findings, reader->service, query, at.data,
                 "params is written as \"item.v1.Item as item\" or \"item.v1.Item[] as items\", four times at most");
    return;
  }
  bool repeated = type.size > 2 && memcmp(type.data + type.size - 2, "[]", 2) == 0;
  query->arguments[query->argument_count++] = (struct argument){
      .at = slice_make(type.data, type.size - (repeated ? 2 : 0)), .name = value, .repeated = repeated};
}

static void read_without(struct reader *reader, struct slice argument, struct slice value)
{
  struct query_source *query = reader->query;
  if (query->omission_count == MAX_OMISSIONS)
    findings_add(reader->findings, reader->service, query, argument.data, "it leaves out more than %d fields",
                 MAX_OMISSIONS);
  else
    query->omissions[query->omission_count++] = (struct omission){.at = argument};
  check_reason(reader, value, "without item.note: the handler stores it");
}

static void read_request(struct reader *reader, struct slice argument, struct slice value)
{
  (void)argument;
  reader->query->request_at = value;
}

static void read_response(struct reader *reader, struct slice argument, struct slice value)
{
  (void)argument;
  reader->query->response_at = value;
}

// Reads the SQL of an annotation, which is a part of a statement and so has no semicolon.
static void read_part(struct reader *reader, struct slice value, struct tokens *tokens)
{
  struct slice behind = tokens_read(value, tokens, &reader->place);
  const char *end = value.data + value.size;
  const char *semicolon = end - behind.size - 1;
  if (semicolon >= value.data && *semicolon == ';')
    findings_add(reader->findings, reader->service, reader->query, semicolon,
                 "a filter or an order is a part of the statement below, so it has no semicolon; remove it and what "
                 "follows");
}

static void read_filter(struct reader *reader, struct slice argument, struct slice value)
{
  struct query_source *query = reader->query;
  if (query->filter_count == 12 || !is_word(argument)) {
    findings_add(reader->findings, reader->service, query, value.data,
                 "a filter is written as \"filter category: category = :category\", twelve at most");
    return;
  }
  struct filter *filter = &query->filters[query->filter_count++];
  *filter = (struct filter){.name = argument};
  read_part(reader, value, &filter->condition);
}

static void read_order(struct reader *reader, struct slice argument, struct slice value)
{
  struct query_source *query = reader->query;
  size_t comma = value.size;
  while (comma > 0 && value.data[comma - 1] != ',')
    comma--;
  struct slice id = slice_trim(slice_skip(value, comma));
  if (query->order_count == 12 || argument.size == 0 || comma == 0 || !is_word(id)) {
    findings_add(
        reader->findings, reader->service, query, value.data,
        "an order is written as \"order createTime: create_time, id\", where id is the unique column that breaks "
        "ties; twelve at most");
    return;
  }
  struct order *order = &query->orders[query->order_count++];
  *order = (struct order){.at = value, .name = argument, .id = id};
  read_part(reader, slice_trim(slice_make(value.data, comma - 1)), &order->expression);
}

static void read_default(struct reader *reader, struct slice argument, struct slice value)
{
  (void)argument;
  reader->query->default_order = value;
}

static void read_page(struct reader *reader, struct slice argument, struct slice value)
{
  (void)argument;
  uint64_t size = 0;
  if (!slice_to_uint64(value, 1, 10000, &size))
    findings_add(reader->findings, reader->service, reader->query, value.data,
                 "page is the size of a page where the request says none: a number from 1 to 10000");
  reader->query->page_size = (uint32_t)size;
}

static void read_dedicated(struct reader *reader, struct slice argument, struct slice value)
{
  (void)argument;
  check_reason(reader, value, "dedicated: may take long");
  reader->query->dedicated = true;
}

static void set_effect(struct reader *reader, struct slice value, enum effect effect)
{
  if (reader->query->effect != EFFECT_UNSAID && reader->query->effect != effect)
    findings_add(reader->findings, reader->service, reader->query, value.data,
                 "the query is said to write and to be read only; keep one of the two lines");
  reader->query->effect = effect;
}

static void read_writes(struct reader *reader, struct slice argument, struct slice value)
{
  (void)argument;
  check_reason(reader, value, "writes: the function notes who asked");
  set_effect(reader, value, EFFECT_WRITES);
}

static void read_reads(struct reader *reader, struct slice argument, struct slice value)
{
  (void)argument;
  check_reason(reader, value, "read only: clock_timestamp() changes nothing");
  set_effect(reader, value, EFFECT_READS);
}

static void read_scan(struct reader *reader, struct slice argument, struct slice value)
{
  (void)argument;
  check_reason(reader, value, "scan: the table holds a handful of rows");
  reader->query->scan = value;
}

static void read_not_null(struct reader *reader, struct slice argument, struct slice value)
{
  (void)argument;
  reader->query->not_null = value;
}

static void read_nullable(struct reader *reader, struct slice argument, struct slice value)
{
  (void)argument;
  reader->query->nullable = value;
}

static const struct {
  const char *key;
  bool has_argument;
  read_annotation *read;
} ANNOTATIONS[] = {
    {"row", false, read_row},           {"params", false, read_params},     {"request", false, read_request},
    {"response", false, read_response}, {"filter", true, read_filter},      {"order", true, read_order},
    {"default", false, read_default},   {"page", false, read_page},         {"dedicated", false, read_dedicated},
    {"writes", false, read_writes},     {"read only", false, read_reads},   {"scan", false, read_scan},
    {"not null", false, read_not_null}, {"nullable", false, read_nullable}, {"without", true, read_without},
};

// True for the text in front of a colon that is meant as an annotation: one or two words in lower case. Anything else
// is prose.
static bool looks_like_annotation(struct slice left)
{
  size_t words = 1;
  for (size_t i = 0; i < left.size; i++)
    words += left.data[i] == ' ';
  return left.size > 0 && left.data[0] >= 'a' && left.data[0] <= 'z' && words <= 2;
}

static void add_prose(struct query_source *query, struct slice line)
{
  if (query->comment.data == NULL)
    query->comment = line;
  query->comment.size = (size_t)(line.data + line.size - query->comment.data);
}

static void read_header_line(struct reader *reader, struct slice line)
{
  struct slice content = slice_trim(slice_skip(line, 2));
  size_t colon = slice_find(content, ':', 0);
  struct slice left = slice_make(content.data, colon);
  if (colon == content.size || !looks_like_annotation(left)) {
    add_prose(reader->query, line);
    return;
  }
  struct slice value = slice_trim(slice_make(content.data + colon + 1, content.size - colon - 1));
  for (size_t i = 0; i < ARRAY_LEN(ANNOTATIONS); i++) {
    struct slice argument = left;
    if (ANNOTATIONS[i].has_argument ? slice_equal_string(take_word(&argument), ANNOTATIONS[i].key)
                                    : slice_equal_string(left, ANNOTATIONS[i].key)) {
      ANNOTATIONS[i].read(reader, argument, value);
      return;
    }
  }
  findings_add(
      reader->findings, reader->service, reader->query, content.data,
      "\"" SLICE_FMT "\" is not known; known are: row, params, request, response, filter NAME, order NAME, default, "
      "page, dedicated, writes, read only, scan, not null, nullable, without FIELD; begin prose with a capital letter",
      SLICE_ARG(left));
}

// ---- statements ----

static const char *const ROWS[ROWS_COUNT] = {
    [ROWS_ONE] = ":one",           [ROWS_MANY] = ":many",         [ROWS_EXEC] = ":exec",
    [ROWS_AFFECTED] = ":affected", [ROWS_GATHERED] = ":gathered", [ROWS_PAGE] = ":page",
};

static void check_name(struct reader *reader, const struct query_source *query)
{
  for (size_t i = 0; i + 1 < reader->service->query_count; i++)
    if (slice_equal(reader->service->queries[i].name, query->name))
      findings_add(reader->findings, reader->service, query, query->name.data, "another query has this name");
}

static void begin_query(struct reader *reader, struct slice value)
{
  struct service_source *service = reader->service;
  struct query_source *query = &service->queries[service->query_count++];
  reader->query = query;
  reader->place.query = query;
  query->service = service->name;
  query->name = take_word(&value);
  query->rows = ROWS_COUNT;
  for (int rows = 0; rows < ROWS_COUNT; rows++)
    if (slice_equal_string(value, ROWS[rows]))
      query->rows = (enum rows)rows;
  if (!is_word(query->name) || query->rows == ROWS_COUNT) {
    findings_add(
        reader->findings, service, query, query->name.data,
        "a query begins with \"-- name: find_by_email :one\": a name of a-z, 0-9 and _, then one of :one, :many, "
        ":exec, :affected, :gathered, :page");
    query->rows = ROWS_EXEC;
  }
  check_name(reader, query);
}

static void read_fragment(struct reader *reader, struct slice name)
{
  struct service_source *service = reader->service;
  struct fragment *fragment = &service->fragments[service->fragment_count++];
  fragment->name = name;
  if (!is_word(name))
    findings_add(reader->findings, service, NULL, name.data,
                 "a fragment is named \"-- fragment: item\" and used as {item}");
  skip_line(reader);
  reader->place.query = NULL;
  reader->left = tokens_read(reader->left, &fragment->body, &reader->place);
}

static bool is_comment(struct slice line)
{
  return slice_starts_with(line, SLICE("--"));
}

static void read_query(struct reader *reader, struct slice value)
{
  begin_query(reader, value);
  skip_line(reader);
  while (reader->left.size > 0 && is_comment(next_line(reader->left))) {
    read_header_line(reader, next_line(reader->left));
    skip_line(reader);
  }
  reader->left = tokens_read(reader->left, &reader->query->body, &reader->place);
  if (reader->query->body.count == 0)
    findings_add(reader->findings, reader->service, reader->query, reader->query->name.data,
                 "it has no SQL; write the statement below its annotations and end it with a semicolon");
}

// Skips to the next empty line, so that one stray statement gives one finding.
static void skip_paragraph(struct reader *reader)
{
  while (reader->left.size > 0 && slice_trim(next_line(reader->left)).size > 0)
    skip_line(reader);
}

static void read_file(struct reader *reader, const struct sql_file *file)
{
  static const struct slice NAME = SLICE_INIT("-- name:"), FRAGMENT = SLICE_INIT("-- fragment:");
  reader->left = file->text;
  while (reader->left.size > 0) {
    struct slice line = slice_trim(next_line(reader->left));
    if (slice_starts_with(line, NAME) && reader->service->query_count < MAX_QUERIES) {
      read_query(reader, slice_trim(slice_skip(line, NAME.size)));
      continue;
    }
    if (slice_starts_with(line, FRAGMENT) && reader->service->fragment_count < MAX_FRAGMENTS) {
      read_fragment(reader, slice_trim(slice_skip(line, FRAGMENT.size)));
      continue;
    }
    if (line.size > 0 && !is_comment(line)) {
      findings_add(reader->findings, reader->service, NULL, line.data,
                   "this belongs to no query; write \"-- name: find_by_email :one\" above it");
      skip_paragraph(reader);
    }
    skip_line(reader);
  }
}

static enum status read_texts(const char **paths, struct sql_file **files, size_t *count, struct arena *arena,
                              struct error *error)
{
  *count = 0;
  while (paths[*count] != NULL)
    (*count)++;
  *files = arena_array(arena, *count, sizeof(**files));
  for (size_t i = 0; i < *count; i++) {
    (*files)[i].path = paths[i];
    enum status status = file_read(paths[i], arena, &(*files)[i].text, error);
    if (status != STATUS_OK)
      return status;
  }
  return STATUS_OK;
}

enum status source_read(struct service_source *service, const char *name, struct arena *arena,
                        struct findings *findings, struct error *error)
{
  *service = (struct service_source){
      .name = name,
      .queries = arena_zalloc(arena, MAX_QUERIES * sizeof(struct query_source)),
      .fragments = arena_zalloc(arena, MAX_FRAGMENTS * sizeof(struct fragment)),
  };
  const char **queries = file_list(arena_printf(arena, "services/%s/queries", name), ".sql", arena);
  const char **migrations = file_list(arena_printf(arena, "services/%s/migrations", name), ".up.sql", arena);
  const char **common = file_list("common/service/migrations", ".up.sql", arena);
  enum status status = read_texts(queries, &service->files, &service->file_count, arena, error);
  if (status == STATUS_OK)
    status = read_texts(migrations, &service->migrations, &service->migration_count, arena, error);
  if (status == STATUS_OK)
    status = read_texts(common, &service->common_migrations, &service->common_migration_count, arena, error);
  struct reader reader = {.service = service, .arena = arena, .findings = findings};
  reader.place = (struct token_place){.arena = arena, .findings = findings, .service = service};
  for (size_t i = 0; status == STATUS_OK && i < service->file_count; i++)
    read_file(&reader, &service->files[i]);
  return status;
}
