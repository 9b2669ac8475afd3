// Finds the lines, columns and comments of declarations in the files that descriptors were made from.
#include "common/base/check.h"
#include "common/base/utf8.h"
#include "common/contract/builder_internal.h"

typedef Google__Protobuf__SourceCodeInfo__Location Location;

static struct slice path_key(const int32_t *path, size_t depth)
{
  return slice_make(path, depth * sizeof(*path));
}

static void free_map(void *map)
{
  strmap_free(map);
}

void source_file_index(struct contract_builder *builder, struct source_file *source)
{
  const Google__Protobuf__SourceCodeInfo *info = source->descriptor->source_code_info;
  arena_on_free(&builder->scratch, free_map, &source->locations);
  for (size_t i = 0; info != NULL && i < info->n_location; i++) {
    Location *location = info->location[i];
    // The first location of a path is kept. Options that several statements set have several.
    if (location->n_path > 0 && !strmap_add(&source->locations, path_key(location->path, location->n_path), location))
      continue;
  }
}

struct declaration declaration_of_file(const struct source_file *source)
{
  return (struct declaration){.source = source};
}

struct declaration declaration_child(const struct declaration *parent, int32_t field_number, size_t index,
                                     const char *name)
{
  struct declaration child = *parent;
  CHECK(child.depth + 2 <= DECLARATION_MAX_DEPTH);
  child.path[child.depth++] = field_number;
  child.path[child.depth++] = (int32_t)index;
  child.name = name;
  return child;
}

struct declaration declaration_option(const struct declaration *owner, int32_t options_number, int32_t number)
{
  return declaration_child(owner, options_number, (size_t)number, owner->name);
}

// Finds the location of an option's first member. An option that was set member by member has no location of its own.
static const Location *find_member(const struct declaration *declaration)
{
  const Google__Protobuf__SourceCodeInfo *info = declaration->source->descriptor->source_code_info;
  size_t size = declaration->depth * sizeof(declaration->path[0]);
  for (size_t i = 0; info != NULL && size > 0 && i < info->n_location; i++) {
    const Location *location = info->location[i];
    if (location->n_path > declaration->depth && memcmp(location->path, declaration->path, size) == 0)
      return location;
  }
  return NULL;
}

// Returns the narrowest location that holds the declaration.
static const Location *find_location(const struct declaration *declaration)
{
  const struct strmap *locations = &declaration->source->locations;
  const Location *found = strmap_get(locations, path_key(declaration->path, declaration->depth));
  if (found == NULL)
    found = find_member(declaration);
  for (size_t depth = declaration->depth; found == NULL && depth > 1; depth--)
    found = strmap_get(locations, path_key(declaration->path, depth - 1));
  return found;
}

struct source_place declaration_place(const struct declaration *declaration)
{
  struct source_place place = {.file = declaration->source->file->name};
  const Location *location = find_location(declaration);
  if (location != NULL && location->n_span >= 2 && location->span[0] >= 0 && location->span[1] >= 0) {
    place.line = (unsigned)location->span[0] + 1;
    place.column = (unsigned)location->span[1] + 1;
  } else if (declaration->depth == 0 && declaration->source->descriptor->source_code_info != NULL) {
    place.line = 1;
    place.column = 1;
  }
  return place;
}

// Removes the space that follows the slashes, which protoc leaves at the start of each line.
static char *clean_comment(struct arena *arena, struct slice text)
{
  if (!utf8_valid(text))
    return arena_string(arena, SLICE(""));
  char *cleaned = arena_alloc(arena, text.size + 1);
  char *to = cleaned;
  bool line_start = true;
  for (size_t i = 0; i < text.size; i++) {
    if (!(line_start && text.data[i] == ' '))
      *to++ = text.data[i];
    line_start = text.data[i] == '\n';
  }
  while (to > cleaned && (to[-1] == '\n' || to[-1] == ' '))
    to--;
  *to = '\0';
  return cleaned;
}

const char *declaration_comment(struct contract_builder *builder, const struct declaration *declaration)
{
  const Location *location =
      strmap_get(&declaration->source->locations, path_key(declaration->path, declaration->depth));
  if (location == NULL || location->leading_comments == NULL)
    return "";
  return clean_comment(&builder->contract->arena, slice_from_string(location->leading_comments));
}

void report(struct contract_builder *builder, const struct declaration *declaration, const char *format, ...)
{
  struct source_place place = declaration_place(declaration);
  va_list args;
  va_start(args, format);
  diagnostics_add(builder->diagnostics, &place, declaration->name, "%s",
                  arena_vprintf(&builder->scratch, format, args));
  va_end(args);
}

char *keep_text(struct contract_builder *builder, const char *text)
{
  return arena_string(&builder->contract->arena, slice_from_string(text));
}
