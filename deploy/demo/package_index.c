#include "deploy/demo/package_index.h"

#include <stdlib.h>

#include "common/base/check.h"
#include "common/base/jsontext_writer.h"
#include "common/base/strmap.h"
#include "common/base/utf8.h"

// Limits of the contract, in characters.
#define MAX_NAME 256
#define MAX_SKU 128
#define MAX_CATEGORY 128
#define MAX_DESCRIPTION 16000
#define MAX_TAG 64
#define MAX_TAGS 64
#define MAX_ATTRIBUTE 4000
#define MAX_QUANTITY 2147483647u

static const struct {
  struct slice name;
  size_t offset;
} FIELDS[] = {
    {SLICE_INIT("Package"), offsetof(struct package, name)},
    {SLICE_INIT("Version"), offsetof(struct package, version)},
    {SLICE_INIT("Section"), offsetof(struct package, section)},
    {SLICE_INIT("Description"), offsetof(struct package, description)},
    {SLICE_INIT("Description-en"), offsetof(struct package, description)},
    {SLICE_INIT("Tag"), offsetof(struct package, tags)},
    {SLICE_INIT("Installed-Size"), offsetof(struct package, installed_size)},
    {SLICE_INIT("Maintainer"), offsetof(struct package, maintainer)},
    {SLICE_INIT("Homepage"), offsetof(struct package, homepage)},
    {SLICE_INIT("Depends"), offsetof(struct package, depends)},
    {SLICE_INIT("Architecture"), offsetof(struct package, architecture)},
};

static void set_field(struct package *package, struct slice name, struct slice value)
{
  for (size_t i = 0; i < ARRAY_LEN(FIELDS); i++)
    if (slice_equal_ignore_case(name, FIELDS[i].name))
      *(struct slice *)(void *)((char *)package + FIELDS[i].offset) = slice_trim(value);
}

// The end of the field that begins at `start`: the newline before the next line that is not indented.
static size_t field_end(struct slice text, size_t start)
{
  size_t end = slice_find(text, '\n', start);
  while (end + 1 < text.size && (text.data[end + 1] == ' ' || text.data[end + 1] == '\t'))
    end = slice_find(text, '\n', end + 1);
  return end;
}

// Reads the stanza at `start`; returns where the next one begins.
static size_t read_stanza(struct slice text, size_t start, struct package *package)
{
  *package = (struct package){0};
  while (start < text.size && text.data[start] != '\n') {
    size_t end = field_end(text, start);
    size_t colon = slice_find(text, ':', start);
    if (colon < end)
      set_field(package, slice_make(text.data + start, colon - start),
                slice_make(text.data + colon + 1, end - colon - 1));
    start = end + 1;
  }
  return start + 1;
}

static void *grow(void *array, size_t *capacity, size_t size)
{
  *capacity = *capacity == 0 ? 1024 : *capacity * 2;
  void *larger = realloc(array, *capacity * size);
  CHECK(larger != NULL);
  return larger;
}

// Keeps the last package of each name. The map holds index + 1, because addresses change while the array grows.
static void keep_last_of_each_name(struct package_index *index)
{
  struct strmap places = {0};
  size_t kept = 0;
  for (size_t i = index->count; i-- > 0;)
    if (!strmap_add(&places, index->packages[i].name, &index->packages[i]))
      index->packages[i].name.size = 0;
  for (size_t i = 0; i < index->count; i++)
    if (index->packages[i].name.size > 0)
      index->packages[kept++] = index->packages[i];
  index->count = kept;
  strmap_free(&places);
}

void package_index_read(struct slice text, struct package_index *index)
{
  size_t capacity = 0;
  *index = (struct package_index){0};
  for (size_t start = 0; start < text.size;) {
    if (index->count == capacity)
      index->packages = grow(index->packages, &capacity, sizeof(*index->packages));
    start = read_stanza(text, start, &index->packages[index->count]);
    if (index->packages[index->count].name.size > 0)
      index->count++;
  }
  keep_last_of_each_name(index);
}

void package_index_free(struct package_index *index)
{
  free(index->packages);
  *index = (struct package_index){0};
}

// At most `characters` of the text, and nothing from where it stops being UTF-8.
static struct slice cut(struct slice text, size_t characters)
{
  text.size = utf8_check(text);
  size_t end = 0;
  for (size_t count = 0; end < text.size; end++) {
    bool begins_character = ((unsigned char)text.data[end] & 0xc0) != 0x80;
    if (begins_character && count++ == characters)
      break;
  }
  return slice_make(text.data, end);
}

static void write_tags(struct jsontext_writer *writer, struct slice tags)
{
  struct slice written[MAX_TAGS];
  size_t count = 0;
  for (size_t start = 0; start < tags.size && count < MAX_TAGS;) {
    size_t end = slice_find(tags, ',', start);
    struct slice tag = slice_make(tags.data + start, end - start);
    while (tag.size > 0 && (tag.data[0] == ' ' || tag.data[0] == '\n'))
      tag = slice_skip(tag, 1);
    tag = cut(slice_trim(tag), MAX_TAG);
    bool repeated = tag.size == 0;
    for (size_t i = 0; i < count && !repeated; i++)
      repeated = slice_equal(written[i], tag);
    if (!repeated) {
      written[count++] = tag;
      jsontext_string(writer, tag);
    }
    start = end + 1;
  }
}

static void write_attributes(struct jsontext_writer *writer, const struct package *package)
{
  const struct {
    const char *key;
    struct slice value;
  } attributes[] = {
      {"version", package->version},   {"architecture", package->architecture}, {"maintainer", package->maintainer},
      {"homepage", package->homepage}, {"depends", package->depends},
  };
  for (size_t i = 0; i < ARRAY_LEN(attributes); i++)
    if (attributes[i].value.size > 0)
      jsontext_key_string(writer, attributes[i].key, cut(attributes[i].value, MAX_ATTRIBUTE));
}

void package_write_item(const struct package *package, struct strbuf *json)
{
  struct jsontext_writer writer;
  jsontext_writer_init(&writer, json);
  jsontext_begin_object(&writer);
  jsontext_key_string(&writer, "sku", cut(package->name, MAX_SKU));
  jsontext_key_string(&writer, "name", cut(package->name, MAX_NAME));
  jsontext_key_string(&writer, "description", cut(package->description, MAX_DESCRIPTION));
  jsontext_key_string(&writer, "category", cut(package->section, MAX_CATEGORY));
  jsontext_key(&writer, SLICE("tags"));
  jsontext_begin_array(&writer);
  write_tags(&writer, package->tags);
  jsontext_end_array(&writer);
  uint64_t kilobytes;
  if (slice_to_uint64(package->installed_size, 0, MAX_QUANTITY, &kilobytes))
    jsontext_key_int(&writer, "quantity", (int64_t)kilobytes);
  jsontext_key(&writer, SLICE("attributes"));
  jsontext_begin_object(&writer);
  write_attributes(&writer, package);
  jsontext_end_object(&writer);
  jsontext_end_object(&writer);
}
