// Writes the frame of the document: info, tags, security and the problem document of RFC 9457. Paths and schemas are
// written elsewhere.
#include "common/openapi/openapi.h"

#include "common/openapi/openapi_internal.h"

// The HTTP methods of OpenAPI that a route may have. A binding that takes any is described by the first ANY_METHODS.
static const char *const METHODS[] = {"GET", "PUT", "POST", "DELETE", "PATCH", "OPTIONS"};
enum { ANY_METHODS = 5 };

// The schema of a problem document, as the gateway writes it.
static const char PROBLEM_SCHEMA[] =
    "{\"type\":\"object\",\"description\":\"An error (RFC 9457).\","
    "\"required\":[\"type\",\"title\",\"status\",\"detail\",\"instance\",\"code\",\"reason\",\"requestId\"],"
    "\"properties\":{"
    "\"type\":{\"type\":\"string\",\"format\":\"uri-reference\",\"description\":\"Which kind of problem this is.\"},"
    "\"title\":{\"type\":\"string\",\"description\":\"The phrase of the HTTP status.\"},"
    "\"status\":{\"type\":\"integer\",\"format\":\"int32\",\"description\":\"The HTTP status.\"},"
    "\"detail\":{\"type\":\"string\",\"description\":\"What happened, for people.\"},"
    "\"instance\":{\"type\":\"string\",\"description\":\"The path of the request.\"},"
    "\"code\":{\"type\":\"string\",\"description\":\"A code of google.rpc.Code, such as NOT_FOUND.\"},"
    "\"reason\":{\"type\":\"string\",\"description\":\"A stable reason for programs, such as ETAG_MISMATCH.\"},"
    "\"requestId\":{\"type\":\"string\",\"description\":\"Names the request in the logs.\"},"
    "\"violations\":{\"type\":\"array\",\"description\":\"What is wrong with the request, place by place.\",\"items\":"
    "{\"type\":\"object\",\"required\":[\"field\",\"description\"],\"properties\":{\"field\":{\"type\":\"string\","
    "\"description\":\"A parameter, a header or a JSON path, such as items[3].sku.\"},"
    "\"description\":{\"type\":\"string\"}}}}}}";

void openapi_write_text(struct openapi *api, const char *key, const char *text)
{
  if (text != NULL)
    jsontext_key_string(&api->json, key, slice_from_string(text));
}

void openapi_write_description(struct openapi *api, const char *text)
{
  if (*text != '\0')
    jsontext_key_string(&api->json, "description", slice_from_string(text));
}

static const struct template_variable *variable_at(const struct path_template *path, size_t segment)
{
  for (size_t i = 0; i < path->variable_count; i++)
    if (path->variables[i].first_segment == segment)
      return &path->variables[i];
  return NULL;
}

static struct slice path_shape(struct arena *arena, const struct path_template *path)
{
  const char *shape = "";
  for (size_t i = 0; i < path->segment_count; i++) {
    const struct template_variable *variable = variable_at(path, i);
    bool literal = variable == NULL && path->segments[i].kind == SEGMENT_LITERAL;
    shape = literal ? arena_printf(arena, "%s/" SLICE_FMT, shape, SLICE_ARG(path->segments[i].literal))
                    : arena_printf(arena, "%s/{}", shape);
    if (variable != NULL)
      i = variable->end_segment - 1;
  }
  if (path->verb.data != NULL)
    shape = arena_printf(arena, "%s:" SLICE_FMT, shape, SLICE_ARG(path->verb));
  return slice_from_string(shape);
}

static unsigned ordinal_of(const struct contract *contract, size_t index)
{
  unsigned ordinal = 1;
  for (size_t i = 0; i < index; i++)
    ordinal += contract_binding(contract, i)->method == contract_binding(contract, index)->method;
  return ordinal;
}

// Whether an operation before this one has the same HTTP method and a path of the same shape. OpenAPI cannot tell the
// two apart, so the first is described.
static bool is_taken(const struct operation *operations, size_t count, const struct operation *operation)
{
  for (size_t i = 0; i < count; i++)
    if (slice_equal(operations[i].shape, operation->shape) &&
        strcmp(operations[i].http_method, operation->http_method) == 0)
      return true;
  return false;
}

// Adds the operations of a binding: none where OpenAPI has no such HTTP method, and several where it takes any.
static void add_operations(struct openapi *api, size_t index, struct operation *operations, size_t *count)
{
  const struct contract_binding *binding = contract_binding(api->contract, index);
  struct operation operation = {.binding = binding, .ordinal = ordinal_of(api->contract, index)};
  if (path_template_parse(slice_from_string(binding->path), &operation.path) != NULL)
    return;
  operation.shape = path_shape(&api->arena, &operation.path);
  bool any = contract_takes_any_method(binding);
  for (size_t i = 0; i < (any ? ANY_METHODS : ARRAY_LEN(METHODS)); i++) {
    operation.http_method = METHODS[i];
    if ((any || strcmp(binding->http_method, METHODS[i]) == 0) && !is_taken(operations, *count, &operation))
      operations[(*count)++] = operation;
  }
}

// Collects the operations, those of bindings for one HTTP method first, because they come before those for any.
static struct operation *collect_operations(struct openapi *api, size_t *count)
{
  size_t bindings = contract_binding_count(api->contract);
  struct operation *operations = arena_array(&api->arena, bindings * ANY_METHODS, sizeof(*operations));
  *count = 0;
  for (unsigned any = 0; any < 2; any++)
    for (size_t i = 0; i < bindings; i++)
      if (contract_takes_any_method(contract_binding(api->contract, i)) == (any == 1))
        add_operations(api, i, operations, count);
  return operations;
}

static void write_license(struct openapi *api, const char *identifier)
{
  if (*identifier == '\0')
    return;
  jsontext_key(&api->json, SLICE("license"));
  jsontext_begin_object(&api->json);
  openapi_write_text(api, "name", identifier);
  openapi_write_text(api, "identifier", identifier);
  jsontext_end_object(&api->json);
}

static void write_contact(struct openapi *api, const struct contract_info *info)
{
  if (*info->contact_name == '\0' && *info->contact_url == '\0')
    return;
  jsontext_key(&api->json, SLICE("contact"));
  jsontext_begin_object(&api->json);
  openapi_write_text(api, "name", *info->contact_name == '\0' ? NULL : info->contact_name);
  openapi_write_text(api, "url", *info->contact_url == '\0' ? NULL : info->contact_url);
  jsontext_end_object(&api->json);
}

static void write_info(struct openapi *api)
{
  const struct contract_info *info = contract_info(api->contract);
  jsontext_key(&api->json, SLICE("info"));
  jsontext_begin_object(&api->json);
  openapi_write_text(api, "title", info->title);
  openapi_write_text(api, "version", api->options->version);
  openapi_write_description(api, info->description);
  write_contact(api, info);
  write_license(api, info->license);
  jsontext_end_object(&api->json);
}

static bool is_titled_before(const struct operation *operations, size_t place)
{
  for (size_t i = 0; i < place; i++)
    if (strcmp(operations[i].binding->method->service_title, operations[place].binding->method->service_title) == 0)
      return true;
  return false;
}

// Services of one title share a tag.
static void write_tags(struct openapi *api, const struct operation *operations, size_t count)
{
  jsontext_key(&api->json, SLICE("tags"));
  jsontext_begin_array(&api->json);
  for (size_t i = 0; i < count; i++) {
    const struct contract_method *method = operations[i].binding->method;
    if (is_titled_before(operations, i))
      continue;
    jsontext_begin_object(&api->json);
    openapi_write_text(api, "name", method->service_title);
    openapi_write_description(api, method->service_comment);
    jsontext_end_object(&api->json);
  }
  jsontext_end_array(&api->json);
}

static void write_components(struct openapi *api, const struct operation *operations, size_t count)
{
  struct jsontext_writer *json = &api->json;
  jsontext_key(json, SLICE("components"));
  jsontext_begin_object(json);
  jsontext_key(json, SLICE("schemas"));
  jsontext_begin_object(json);
  jsontext_key(json, SLICE("Problem"));
  jsontext_raw(json, slice_from_string(PROBLEM_SCHEMA));
  openapi_write_schemas(api, operations, count);
  jsontext_end_object(json);
  jsontext_key(json, SLICE("responses"));
  openapi_write_shared_responses(api, operations, count);
  jsontext_key(json, SLICE("securitySchemes"));
  jsontext_raw(json, SLICE("{\"bearer\":{\"type\":\"http\",\"scheme\":\"bearer\",\"bearerFormat\":\"JWT\","
                           "\"description\":\"An access token, or an API key: `bhk_` and 49 letters and digits. "
                           "A key may do what its scopes say, and nothing that needs no permission.\"}}"));
  jsontext_end_object(json);
}

void openapi_write(const struct contract *contract, const struct openapi_options *options, struct strbuf *out)
{
  struct openapi api = {.contract = contract, .options = options};
  size_t count;
  arena_init(&api.arena);
  jsontext_writer_init(&api.json, out);
  struct operation *operations = collect_operations(&api, &count);
  openapi_name_paths(&api, operations, count);
  openapi_collect_replied(&api, operations, count);
  jsontext_begin_object(&api.json);
  openapi_write_text(&api, "openapi", "3.1.0");
  write_info(&api);
  jsontext_key(&api.json, SLICE("servers"));
  jsontext_raw(&api.json, SLICE("[{\"url\":\"/\"}]"));
  write_tags(&api, operations, count);
  openapi_write_paths(&api, operations, count);
  write_components(&api, operations, count);
  jsontext_end_object(&api.json);
  strmap_free(&api.replied);
  strmap_free(&api.written);
  arena_free(&api.arena);
}
