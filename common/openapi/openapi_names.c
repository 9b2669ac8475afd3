// Makes the path of an operation as OpenAPI writes it, and the names of its parameters.
#include <string.h>

#include "common/openapi/openapi_internal.h"

const char *openapi_parameter_name(struct openapi *api, const struct contract_field *const *path, size_t depth)
{
  const char *name = "";
  for (size_t i = 0; i < depth; i++)
    name = arena_printf(&api->arena, "%s%s" SLICE_FMT, name, i == 0 ? "" : ".", SLICE_ARG(path[i]->json_name));
  return name;
}

const char *openapi_segment_name(struct openapi *api, const struct operation *operation, size_t segment)
{
  for (size_t i = 0; i < operation->path.variable_count; i++) {
    const struct contract_path_variable *variable = &operation->binding->variables[i];
    if (operation->path.variables[i].first_segment == segment)
      return openapi_parameter_name(api, variable->path, variable->depth);
  }
  return arena_printf(&api->arena, "segment%zu", segment + 1);
}

size_t openapi_next_segment(const struct operation *operation, size_t segment)
{
  for (size_t i = 0; i < operation->path.variable_count; i++)
    if (operation->path.variables[i].first_segment == segment)
      return operation->path.variables[i].end_segment;
  return segment + 1;
}

static bool is_variable(const struct operation *operation, size_t segment)
{
  return operation->path.segments[segment].kind != SEGMENT_LITERAL ||
         openapi_next_segment(operation, segment) != segment + 1;
}

bool openapi_is_parameter(const struct operation *operation, size_t segment)
{
  for (size_t i = 0; i < operation->path.variable_count; i++)
    if (operation->path.variables[i].first_segment == segment)
      return true;
  return is_variable(operation, segment);
}

static struct slice segments_example(struct openapi *api, const struct operation *operation,
                                     const struct template_variable *variable)
{
  const char *text = "";
  for (size_t i = variable->first_segment; i < variable->end_segment && i < operation->path.segment_count; i++) {
    bool literal = operation->path.segments[i].kind == SEGMENT_LITERAL;
    text = arena_printf(&api->arena, "%s%s" SLICE_FMT, text, i == variable->first_segment ? "" : "/",
                        SLICE_ARG(literal ? operation->path.segments[i].literal : SLICE("example")));
  }
  return slice_from_string(text);
}

struct slice openapi_segment_example(struct openapi *api, const struct operation *operation, size_t segment)
{
  for (size_t i = 0; i < operation->path.variable_count; i++) {
    const struct template_variable *variable = &operation->path.variables[i];
    const struct contract_path_variable *bound = &operation->binding->variables[i];
    if (variable->first_segment != segment)
      continue;
    bool whole = variable->end_segment == segment + 1 && operation->path.segments[segment].kind == SEGMENT_ANY;
    return whole ? openapi_example_text(api, bound->path[bound->depth - 1])
                 : segments_example(api, operation, variable);
  }
  return SLICE("example");
}

// Builds the operation's path, each parameter replaced by the result of `segment_text`.
static const char *fill_path(struct openapi *api, const struct operation *operation,
                             struct slice (*segment_text)(struct openapi *, const struct operation *, size_t))
{
  const char *path = "";
  for (size_t i = 0; i < operation->path.segment_count; i = openapi_next_segment(operation, i)) {
    struct slice text =
        openapi_is_parameter(operation, i) ? segment_text(api, operation, i) : operation->path.segments[i].literal;
    path = arena_printf(&api->arena, "%s/" SLICE_FMT, path, SLICE_ARG(text));
  }
  if (operation->path.verb.data != NULL)
    path = arena_printf(&api->arena, "%s:" SLICE_FMT, path, SLICE_ARG(operation->path.verb));
  return path;
}

static struct slice name_in_braces(struct openapi *api, const struct operation *operation, size_t segment)
{
  return slice_from_string(arena_printf(&api->arena, "{%s}", openapi_segment_name(api, operation, segment)));
}

void openapi_name_paths(struct openapi *api, struct operation *operations, size_t count)
{
  for (size_t i = 0; i < count; i++) {
    operations[i].rendered_path = fill_path(api, &operations[i], name_in_braces);
    operations[i].example_path = slice_from_string(fill_path(api, &operations[i], openapi_segment_example));
  }
}

static size_t first_sentence_size(const char *text)
{
  size_t size = strlen(text);
  for (size_t i = 0; i + 1 < size; i++)
    if (text[i] == '.' && (text[i + 1] == ' ' || text[i + 1] == '\n'))
      return i;
  return size > 0 && text[size - 1] == '.' ? size - 1 : size;
}

struct slice openapi_first_sentence(struct openapi *api, const char *text)
{
  char *sentence = arena_string(&api->arena, slice_make(text, first_sentence_size(text)));
  for (char *c = sentence; *c != '\0'; c++)
    if (*c == '\n')
      *c = ' ';
  return slice_from_string(sentence);
}
