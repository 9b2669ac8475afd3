// The set is read on the wire: its files stay where they are, and only the full names of what they declare are made.
// The declarations of a file are walked by tables that say which fields hold names and which hold more declarations.
#include "common/contract/descriptor_set.h"

#include <stdlib.h>

#include "common/base/arena.h"
#include "common/base/check.h"
#include "common/base/strmap.h"
#include "common/base/wire.h"
#include "common/contract/descriptor_fields.h"

// How deep declarations of messages may nest, as in contract_load.
#define MAX_DEPTH 8

struct extension {
  struct slice extended;
  int32_t number;
  const struct descriptor_file *file;
  struct extension *next;
};

struct descriptor_set {
  struct arena arena;
  struct descriptor_file *files;
  size_t count;
  struct strmap by_name;
  struct strmap by_symbol;
  struct extension *extensions;
};

// What a declaration may hold in turn.
enum scope { SCOPE_LEAF, SCOPE_FILE, SCOPE_MESSAGE, SCOPE_SERVICE, SCOPE_EXTENSION };

// A field of a descriptor that lists declarations.
struct nested {
  enum scope in;
  uint32_t number;
  enum scope scope;
};

static const struct nested nested[] = {
    {SCOPE_FILE, FILE_MESSAGE_TYPE, SCOPE_MESSAGE},      {SCOPE_FILE, FILE_ENUM_TYPE, SCOPE_LEAF},
    {SCOPE_FILE, FILE_SERVICE, SCOPE_SERVICE},           {SCOPE_FILE, FILE_EXTENSION, SCOPE_EXTENSION},
    {SCOPE_MESSAGE, MESSAGE_NESTED_TYPE, SCOPE_MESSAGE}, {SCOPE_MESSAGE, MESSAGE_ENUM_TYPE, SCOPE_LEAF},
    {SCOPE_MESSAGE, MESSAGE_EXTENSION, SCOPE_EXTENSION}, {SCOPE_SERVICE, SERVICE_METHOD, SCOPE_LEAF},
};

static const struct nested *find_nested(enum scope scope, const struct wire_field *field)
{
  for (size_t i = 0; i < ARRAY_LEN(nested); i++)
    if (nested[i].in == scope && nested[i].number == field->number && field->type == WIRE_BYTES)
      return &nested[i];
  return NULL;
}

// Reads the last field with this number; a zeroed one where there is none, or the bytes are malformed.
static struct wire_field read_field(struct slice bytes, uint32_t number)
{
  struct wire_reader reader = wire_reader_make(bytes);
  struct wire_field field, found = {0};
  while (wire_read(&reader, &field) == WIRE_FIELD)
    if (field.number == number)
      found = field;
  return found;
}

// ---- declarations ----

static void add_extension(struct descriptor_set *set, const struct descriptor_file *file, struct slice descriptor)
{
  struct extension *extension = arena_alloc(&set->arena, sizeof(*extension));
  struct slice extended = read_field(descriptor, FIELD_EXTENDEE).bytes;
  *extension = (struct extension){
      // The descriptor writes full names with a dot in front.
      .extended = slice_skip(extended, extended.size > 0 && extended.data[0] == '.' ? 1 : 0),
      .number = (int32_t)read_field(descriptor, FIELD_NUMBER).varint,
      .file = file,
      .next = set->extensions,
  };
  set->extensions = extension;
}

// Where the walk over the declarations of a file is.
struct walk {
  struct descriptor_set *set;
  const struct descriptor_file *file;
  struct slice parent;  // full name of what holds the declarations; "" in a file without package
  unsigned depth;
};

static bool add_declaration(const struct walk *walk, const struct nested *kind, struct slice descriptor);

// Adds all that a descriptor declares. False for what is malformed or declared twice.
static bool add_declarations(const struct walk *walk, enum scope scope, struct slice descriptor)
{
  struct wire_reader reader = wire_reader_make(descriptor);
  struct wire_field field;
  enum wire_result result;
  while ((result = wire_read(&reader, &field)) == WIRE_FIELD) {
    const struct nested *kind = find_nested(scope, &field);
    if (kind != NULL && !add_declaration(walk, kind, field.bytes))
      return false;
  }
  return result == WIRE_END;
}

static const char *make_full_name(const struct walk *walk, struct slice name)
{
  struct arena *arena = &walk->set->arena;
  return walk->parent.size == 0
             ? arena_string(arena, name)
             : arena_printf(arena, SLICE_FMT "." SLICE_FMT, SLICE_ARG(walk->parent), SLICE_ARG(name));
}

static bool add_declaration(const struct walk *walk, const struct nested *kind, struct slice descriptor)
{
  struct slice name = read_field(descriptor, DECLARATION_NAME).bytes;
  if (name.size == 0 || walk->depth > MAX_DEPTH)
    return false;
  struct slice full_name = slice_from_string(make_full_name(walk, name));
  if (!strmap_add(&walk->set->by_symbol, full_name, (void *)walk->file))
    return false;
  if (kind->scope == SCOPE_EXTENSION)
    add_extension(walk->set, walk->file, descriptor);
  const struct walk inner = {.set = walk->set, .file = walk->file, .parent = full_name, .depth = walk->depth + 1};
  return add_declarations(&inner, kind->scope, descriptor);
}

// ---- files ----

static size_t count_fields(struct slice bytes, uint32_t number)
{
  struct wire_reader reader = wire_reader_make(bytes);
  struct wire_field field;
  size_t count = 0;
  while (wire_read(&reader, &field) == WIRE_FIELD)
    count += field.number == number && field.type == WIRE_BYTES;
  return count;
}

static bool add_file(struct descriptor_set *set, struct slice bytes)
{
  struct descriptor_file *file = &set->files[set->count];
  *file = (struct descriptor_file){.name = read_field(bytes, FILE_NAME).bytes, .bytes = bytes, .index = set->count};
  set->count++;
  const struct walk walk = {.set = set, .file = file, .parent = read_field(bytes, FILE_PACKAGE).bytes};
  return file->name.size > 0 && strmap_add(&set->by_name, file->name, file) &&
         add_declarations(&walk, SCOPE_FILE, bytes);
}

static bool add_files(struct descriptor_set *set, struct slice bytes)
{
  struct wire_reader reader = wire_reader_make(bytes);
  struct wire_field field;
  enum wire_result result;
  set->files = arena_array(&set->arena, count_fields(bytes, SET_FILE), sizeof(*set->files));
  while ((result = wire_read(&reader, &field)) == WIRE_FIELD)
    if (field.number == SET_FILE && (field.type != WIRE_BYTES || !add_file(set, field.bytes)))
      return false;
  return result == WIRE_END;
}

// Finds the files that a file imports. False when one is missing.
static bool find_imports(struct descriptor_set *set, struct descriptor_file *file)
{
  struct wire_reader reader = wire_reader_make(file->bytes);
  struct wire_field field;
  size_t count = count_fields(file->bytes, FILE_DEPENDENCY);
  const struct descriptor_file **imports = arena_array(&set->arena, count, sizeof(*imports));
  file->imports = imports;
  while (wire_read(&reader, &field) == WIRE_FIELD) {
    if (field.number != FILE_DEPENDENCY || field.type != WIRE_BYTES)
      continue;
    imports[file->import_count] = descriptor_set_file(set, field.bytes);
    if (imports[file->import_count++] == NULL)
      return false;
  }
  return true;
}

enum status descriptor_set_create(struct slice bytes, struct descriptor_set **out)
{
  struct descriptor_set *set = calloc(1, sizeof(*set));
  CHECK(set != NULL);
  *out = set;
  bool is_good = add_files(set, bytes);
  for (size_t i = 0; i < set->count && is_good; i++)
    is_good = find_imports(set, &set->files[i]);
  if (is_good)
    return STATUS_OK;
  descriptor_set_free(out);
  return STATUS_INVALID_ARGUMENT;
}

void descriptor_set_free(struct descriptor_set **set)
{
  if (*set == NULL)
    return;
  strmap_free(&(*set)->by_name);
  strmap_free(&(*set)->by_symbol);
  arena_free(&(*set)->arena);
  free(*set);
  *set = NULL;
}

size_t descriptor_set_count(const struct descriptor_set *set)
{
  return set->count;
}

const struct descriptor_file *descriptor_set_file(const struct descriptor_set *set, struct slice name)
{
  return strmap_get(&set->by_name, name);
}

const struct descriptor_file *descriptor_set_symbol(const struct descriptor_set *set, struct slice full_name)
{
  return strmap_get(&set->by_symbol, full_name);
}

const struct descriptor_file *descriptor_set_extension(const struct descriptor_set *set, struct slice extended,
                                                       int32_t number)
{
  for (const struct extension *it = set->extensions; it != NULL; it = it->next)
    if (it->number == number && slice_equal(it->extended, extended))
      return it->file;
  return NULL;
}

size_t descriptor_set_extension_numbers(const struct descriptor_set *set, struct slice extended, int32_t *numbers,
                                        size_t max)
{
  size_t count = 0;
  for (const struct extension *it = set->extensions; it != NULL; it = it->next) {
    if (!slice_equal(it->extended, extended))
      continue;
    if (count < max)
      numbers[count] = it->number;
    count++;
  }
  return count;
}
