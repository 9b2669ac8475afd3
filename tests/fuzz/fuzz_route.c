// Any bytes as a request line "METHOD path?query", a line for If-Match and a body: routed, and transcoded where there
// is a route. The body is also taken for the route's reply.
#include "common/transcode/transcode.h"
#include "tests/fuzz/fuzz_contract.h"

static struct slice cut(struct slice *rest, char at)
{
  size_t end = slice_find(*rest, at, 0);
  struct slice part = slice_make(rest->data, end);
  *rest = end < rest->size ? slice_make(rest->data + end + 1, rest->size - end - 1) : SLICE("");
  return part;
}

static struct slice give_header(void *arg, const char *name)
{
  (void)name;
  return *(struct slice *)arg;
}

// Writes the body of a reply: JSON, or nothing where the bytes are no response.
static void check_reply(const struct contract_binding *binding, struct slice wire, struct strbuf *json)
{
  struct transcode_body body;
  enum status status = transcode_find_body(binding, wire, &body);
  if (status == STATUS_OK)
    status = transcode_body_to_json(&body, json);
  CHECK(status == STATUS_OK ? json->size > 0 : status == STATUS_INTERNAL && json->size == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
  struct slice rest = size == 0 ? SLICE("") : slice_make(data, size);
  struct slice line = cut(&rest, '\n');
  struct slice if_match = cut(&rest, '\n');
  struct slice http_method = cut(&line, ' ');
  struct slice path = cut(&line, '?');
  struct contract_route route;
  uint32_t allowed = 0;
  enum status status = contract_route(fuzz_contract(), http_method, path, &route, &allowed);
  if (status == STATUS_NOT_FOUND)
    status = contract_route(fuzz_open_contract(), http_method, path, &route, &allowed);
  CHECK(status != STATUS_UNIMPLEMENTED || allowed != 0);
  if (status != STATUS_OK)
    return 0;
  for (size_t i = 0; i < route.binding->variable_count; i++)
    CHECK(route.values[i].data >= path.data && route.values[i].data + route.values[i].size <= path.data + path.size);
  if (if_match.size == 0)
    if_match = (struct slice){0};
  struct transcode_request request = {
      .route = &route, .query = line, .body = rest, .header = give_header, .header_arg = &if_match};
  struct arena arena;
  struct strbuf wire;
  struct strbuf json;
  struct violations violations;
  arena_init(&arena);
  strbuf_init(&wire, 0);
  strbuf_init(&json, 0);
  violations_init(&violations, &arena);
  status = transcode_request_to_wire(&request, &arena, &wire, &violations);
  CHECK(status == STATUS_OK || (status == STATUS_INVALID_ARGUMENT && violations.count > 0));
  if (status == STATUS_OK)
    CHECK(transcode_wire_to_json(route.binding->method->input, strbuf_slice(&wire), &json) == STATUS_OK);
  strbuf_clear(&json);
  check_reply(route.binding, rest, &json);
  strbuf_free(&json);
  strbuf_free(&wire);
  arena_free(&arena);
  return 0;
}
