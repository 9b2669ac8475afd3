// Collects the values outside of a request's body. Path variables come first, then headers, then the query: an earlier
// one wins, and a later one with another value is a violation.
#include "common/transcode/request_presets_internal.h"

#include "common/base/codec.h"
#include "common/base/etag.h"
#include "common/base/utf8.h"
#include "common/transcode/well_known_internal.h"

// The most query parameters of a request, because each is compared with all those before it.
#define MAX_QUERY_PARAMETERS 256u

static struct slice join_names(struct arena *arena, const struct contract_field *const *path, size_t depth)
{
  if (depth == 1)
    return path[0]->json_name;
  char *joined = arena_printf(arena, SLICE_FMT, SLICE_ARG(path[0]->json_name));
  for (size_t i = 1; i < depth; i++)
    joined = arena_printf(arena, "%s." SLICE_FMT, joined, SLICE_ARG(path[i]->json_name));
  return slice_from_string(joined);
}

static void report(struct decoder *decoder, struct slice name, const char *sentence)
{
  struct place place = {.name = name};
  decoder_report(decoder, &place, sentence);
}

static struct preset *add_preset(struct decoder *decoder, enum preset_origin origin, struct slice label,
                                 struct slice text)
{
  struct preset *preset = &decoder->presets[decoder->preset_count++];
  *preset = (struct preset){.origin = origin, .label = label, .text = text};
  return preset;
}

// Finds an earlier preset of the same field; NULL where there is none.
static const struct preset *find_same(const struct decoder *decoder, const struct preset *preset)
{
  for (const struct preset *other = decoder->presets; other < preset; other++)
    if (other->depth == preset->depth && field_paths_equal(other->path, preset->path, preset->depth))
      return other;
  return NULL;
}

// ---- path ----

// Whether %2F stands at the position. A variable of several segments keeps it encoded, because a slash would end a
// segment.
static bool is_escaped_slash(struct slice text, size_t at)
{
  return text.size - at >= 3 && text.data[at] == '%' && text.data[at + 1] == '2' && (text.data[at + 2] | 0x20) == 'f';
}

static bool decode_keeping_slashes(struct slice text, struct strbuf *out)
{
  size_t start = 0;
  for (size_t at = slice_find(text, '%', 0); at < text.size; at = slice_find(text, '%', at + 1)) {
    if (!is_escaped_slash(text, at))
      continue;
    if (!percent_decode(slice_make(text.data + start, at - start), false, out))
      return false;
    strbuf_add(out, slice_make(text.data + at, 3));
    start = at + 3;
  }
  return percent_decode(slice_skip(text, start), false, out);
}

static bool decode_variable(struct decoder *decoder, bool multi_segment, struct slice *text)
{
  if (text->size == 0 || memchr(text->data, '%', text->size) == NULL)
    return true;
  strbuf_clear(&decoder->scratch);
  bool valid = multi_segment ? decode_keeping_slashes(*text, &decoder->scratch)
                             : percent_decode(*text, false, &decoder->scratch);
  if (valid)
    *text = arena_copy(decoder->arena, strbuf_slice(&decoder->scratch));
  return valid;
}

// Names a variable for violations, as places in the body are named: without the field that the body fills.
static struct slice label_variable(struct arena *arena, const struct contract_binding *binding,
                                   const struct contract_path_variable *variable)
{
  size_t skipped = variable->depth > 1 && variable->path[0] == binding->body_field ? 1 : 0;
  return join_names(arena, variable->path + skipped, variable->depth - skipped);
}

static void add_path_variables(const struct transcode_request *request, struct decoder *decoder)
{
  const struct contract_binding *binding = request->route->binding;
  for (size_t i = 0; i < binding->variable_count; i++) {
    const struct contract_path_variable *variable = &binding->variables[i];
    struct slice text = request->route->values[i];
    struct slice label = label_variable(decoder->arena, binding, variable);
    if (!decode_variable(decoder, variable->multi_segment, &text)) {
      report(decoder, label, "has a broken percent escape");
      continue;
    }
    struct preset *preset = add_preset(decoder, PRESET_PATH, label, text);
    memcpy(preset->path, variable->path, sizeof(preset->path));
    preset->depth = variable->depth;
  }
}

// ---- headers ----

// Takes the quotes off an If-Match of one strong entity tag, as services write their etags. "*", a list and a weak tag
// stay as they are (RFC 9110, section 13.1.1); quotes tell them apart.
static const char *unquote_etag(struct slice *value)
{
  struct slice rest = *value;
  struct etag tag;
  if (slice_equal(*value, SLICE("*")))
    return NULL;
  if (!etag_list_valid(*value))
    return "must be entity tags in quotes, separated by commas, or *";
  if (etag_next(&rest, &tag) == ETAG_TAG && rest.size == 0 && !tag.is_weak && tag.value.size > 0)
    *value = tag.value;
  return NULL;
}

// Brings the value of a header with entity tags into the form that services take. If-None-Match stays as HTTP writes
// it. Returns what is wrong with it, or NULL.
static const char *read_etags(struct slice header, struct slice *value)
{
  if (slice_equal_ignore_case(header, SLICE("If-Match")))
    return unquote_etag(value);
  struct slice kept = *value;
  return slice_equal_ignore_case(header, SLICE("If-None-Match")) ? unquote_etag(&kept) : NULL;
}

static void add_headers(const struct transcode_request *request, struct decoder *decoder)
{
  const struct message_index *index = message_index(request->route->binding->method->input);
  for (size_t i = 0; i < index->from_header_count && request->header != NULL; i++) {
    const struct contract_field *field = index->from_header[i];
    struct slice name = slice_from_string(field->rules.from_header);
    struct slice value = request->header(request->header_arg, field->rules.from_header);
    if (value.data == NULL)
      continue;
    value = slice_trim(value);
    const char *problem = read_etags(name, &value);
    if (problem != NULL) {
      report(decoder, name, problem);
      continue;
    }
    struct preset *preset = add_preset(decoder, PRESET_HEADER, name, value);
    preset->path[0] = field;
    preset->depth = 1;
  }
}

// ---- query ----

// Decodes a name or value of the query, copied into the arena where it has escapes. Returns false for a broken escape.
static bool decode_parameter(struct decoder *decoder, struct slice *text)
{
  if (text->size == 0 || (memchr(text->data, '%', text->size) == NULL && memchr(text->data, '+', text->size) == NULL))
    return true;
  strbuf_clear(&decoder->scratch);
  if (!percent_decode(*text, true, &decoder->scratch))
    return false;
  *text = arena_copy(decoder->arena, strbuf_slice(&decoder->scratch));
  return true;
}

// Whether the query may name this field: it has one value or a list of values, and no other part of the request fills
// it. A field that comes in a header comes there only.
static bool is_parameter(const struct contract_binding *binding, const struct preset *preset)
{
  const struct contract_field *leaf = preset->path[preset->depth - 1];
  if (leaf->is_map || leaf->rules.from_header != NULL)
    return false;
  if (binding->body == CONTRACT_BODY_ALL ||
      (binding->body == CONTRACT_BODY_FIELD && preset->path[0] == binding->body_field))
    return false;
  if (leaf->type != CONTRACT_MESSAGE)
    return true;
  enum contract_well_known kind = leaf->message->well_known;
  return kind == CONTRACT_WRAPPER || well_known_is_text(kind);
}

// What is wrong with a name that is no parameter.
static const char *refuse_parameter(const struct preset *preset)
{
  const struct contract_field *leaf = preset->depth == 0 ? NULL : preset->path[preset->depth - 1];
  bool is_open = leaf != NULL && leaf->type == CONTRACT_MESSAGE && !leaf->is_map &&
                 (leaf->message->well_known == CONTRACT_STRUCT || leaf->message->well_known == CONTRACT_VALUE ||
                  leaf->message->well_known == CONTRACT_LIST_VALUE || leaf->message->well_known == CONTRACT_ANY);
  return is_open ? "cannot be a parameter: its type holds any JSON, which only a request's body can"
                 : "is not a parameter that is known here";
}

// Whether two values of a field are the same. A UUID is the same in either case.
static bool same_value(const struct contract_field *field, struct slice a, struct slice b)
{
  return field->rules.format == FORMAT_UUID ? slice_equal_ignore_case(a, b) : slice_equal(a, b);
}

static void add_parameter(const struct contract_binding *binding, struct decoder *decoder, struct slice name,
                          struct slice value)
{
  struct preset *preset = add_preset(decoder, PRESET_QUERY, name, value);
  preset->depth = contract_field_path(binding->method->input, name, preset->path);
  const char *problem = NULL;
  bool known = preset->depth > 0 && is_parameter(binding, preset);
  const struct preset *same = known ? find_same(decoder, preset) : NULL;
  const struct contract_field *leaf = known ? preset->path[preset->depth - 1] : NULL;
  if (!known)
    problem = refuse_parameter(preset);
  else if (same != NULL && same->origin == PRESET_QUERY && !leaf->repeated)
    problem = "must not be given twice";
  else if (same != NULL && same->origin == PRESET_PATH && !same_value(leaf, same->text, value))
    problem = "must be the same as in the path, or absent";
  if (problem != NULL)
    report(decoder, name, problem);
  // A parameter that repeats an earlier value, or that only the service may set, is ignored, and so is an empty update
  // mask, which means the same as none (AIP-134).
  bool repeats = same != NULL && same->origin != PRESET_QUERY;
  bool names_nothing = known && leaf == binding->method->input->update_mask && value.size == 0;
  if (problem != NULL || repeats || leaf->rules.output_only || names_nothing)
    decoder->preset_count--;
  else
    preset->label = join_names(decoder->arena, preset->path, preset->depth);
}

static void add_pair(const struct contract_binding *binding, struct decoder *decoder, struct slice pair)
{
  size_t equals = slice_find(pair, '=', 0);
  struct slice name = slice_make(pair.data, equals);
  struct slice value = equals < pair.size ? slice_make(pair.data + equals + 1, pair.size - equals - 1) : SLICE("");
  if (!decode_parameter(decoder, &name) || !utf8_valid(name)) {
    report(decoder, SLICE("?"), "a parameter's name has a broken percent escape or is no valid UTF-8");
    return;
  }
  if (!decode_parameter(decoder, &value)) {
    report(decoder, name, "has a broken percent escape");
    return;
  }
  add_parameter(binding, decoder, name, value);
}

static void add_query(const struct transcode_request *request, struct decoder *decoder)
{
  size_t count = 0;
  for (size_t start = 0; start < request->query.size;) {
    size_t end = slice_find(request->query, '&', start);
    if (end > start && count++ == MAX_QUERY_PARAMETERS) {
      report(decoder, SLICE("?"), "must have at most 256 parameters");
      return;
    }
    if (end > start)
      add_pair(request->route->binding, decoder, slice_make(request->query.data + start, end - start));
    start = end + 1;
  }
}

// Counts how many presets there can be at most.
static size_t count_presets(const struct transcode_request *request)
{
  const struct contract_binding *binding = request->route->binding;
  size_t parameters = request->query.size > 0 ? 1 : 0;
  for (size_t i = 0; i < request->query.size && parameters < MAX_QUERY_PARAMETERS; i++)
    parameters += request->query.data[i] == '&';
  return binding->variable_count + message_index(binding->method->input)->from_header_count + parameters;
}

void request_presets(const struct transcode_request *request, struct decoder *decoder)
{
  decoder->presets = arena_array(decoder->arena, count_presets(request), sizeof(*decoder->presets));
  add_path_variables(request, decoder);
  add_headers(request, decoder);
  if (request->query.size > 0)
    add_query(request, decoder);
}
