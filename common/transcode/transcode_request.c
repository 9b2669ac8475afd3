// Translates one HTTP request to one message: path variables, headers and query parameters become presets of the
// decoder, then the body is read.
#include "common/transcode/transcode.h"

#include "common/transcode/decoder_internal.h"
#include "common/transcode/request_presets_internal.h"

// Finds the field for the paths of the body's fields: the mask of a PATCH whose client gave none. NULL when the request
// gathers no mask.
static const struct contract_field *find_mask_field(const struct contract_binding *binding,
                                                    const struct decoder *decoder)
{
  const struct contract_message *input = binding->method->input;
  if (strcmp(binding->http_method, "PATCH") != 0 || input->updated == NULL || binding->body_field != input->updated)
    return NULL;
  for (size_t i = 0; i < decoder->preset_count; i++)
    if (decoder->presets[i].path[0] == input->update_mask)
      return NULL;
  return input->update_mask;
}

static bool is_plain(const struct contract_message *message)
{
  return message->well_known == CONTRACT_PLAIN || message->well_known == CONTRACT_EMPTY;
}

static bool decode_body(struct decoder *decoder, struct message_target *target)
{
  if (target->source == FROM_PRESETS)
    return decode_message(decoder, target);
  if (target->source == FROM_OBJECT) {
    enum jsontext_token token = jsontext_read(&decoder->reader);
    if (token == JSONTEXT_ERROR)
      return false;
    if (!is_plain(target->message))
      return decode_content(decoder, target->message, token, target) && jsontext_read(&decoder->reader) == JSONTEXT_END;
    if (token != JSONTEXT_OBJECT_BEGIN) {
      decoder_report(decoder, NULL, "must be an object");
      return decode_skip(decoder, token);
    }
  }
  return decode_message(decoder, target) && jsontext_read(&decoder->reader) == JSONTEXT_END;
}

// Returns what the message is decoded from. No body is an empty message, and leaves the field unset that the body is.
static enum message_source find_source(const struct transcode_request *request)
{
  static const enum message_source SOURCES[] = {
      [CONTRACT_BODY_NONE] = FROM_PRESETS,
      [CONTRACT_BODY_ALL] = FROM_OBJECT,
      [CONTRACT_BODY_FIELD] = FROM_BODY,
  };
  return request->body.size == 0 ? FROM_PRESETS : SOURCES[request->route->binding->body];
}

static void decode_request(const struct transcode_request *request, struct decoder *decoder)
{
  const struct contract_binding *binding = request->route->binding;
  struct message_target target = {.message = binding->method->input,
                                  .source = find_source(request),
                                  .body_field = binding->body_field,
                                  .mask_field = find_mask_field(binding, decoder)};
  if (binding->body == CONTRACT_BODY_NONE && request->body.size > 0)
    decoder_report(decoder, NULL, "must be empty: this method takes no body");
  // Connect has no empty body in JSON.
  bool needs_body = decoder->whole != NULL || contract_needs_body(binding);
  if (needs_body && request->body.size == 0) {
    decoder_report(decoder, NULL,
                   message_is_object(target.message) ? "must not be empty: this method takes a JSON body, {} at least"
                                                     : "must not be empty: this method takes a JSON value");
    return;
  }
  struct strbuf mask;
  strbuf_init(&mask, 0);
  decoder->gathered_mask = target.mask_field == NULL ? NULL : &mask;
  if (!decode_body(decoder, &target))
    decoder_report_syntax(decoder);
  strbuf_free(&mask);
}

static enum status decode(const struct transcode_request *request, struct decoder *decoder)
{
  request_presets(request, decoder);
  decode_request(request, decoder);
  if (decoder->out->failed)
    decoder_report(decoder, NULL, "is too large");
  decoder_free(decoder);
  return decoder->violations->count == 0 ? STATUS_OK : STATUS_INVALID_ARGUMENT;
}

enum status transcode_request_to_wire(const struct transcode_request *request, struct arena *arena, struct strbuf *out,
                                      struct violations *violations)
{
  struct decoder decoder;
  decoder_init(&decoder, request->body, arena, out, violations);
  decoder.merge_patch = request->merge_patch;
  return decode(request, &decoder);
}

enum status transcode_request_from_json(const struct transcode_json_request *request, struct arena *arena,
                                        struct strbuf *out, struct violations *violations)
{
  // What a route without variables would say, whose body is the message.
  const struct contract_binding binding = {
      .method = request->method, .http_method = "POST", .path = "", .body = CONTRACT_BODY_ALL};
  const struct contract_route route = {.binding = &binding};
  const struct transcode_request parts = {
      .route = &route, .body = request->json, .header = request->header, .header_arg = request->header_arg};
  struct decoder decoder;
  decoder_init(&decoder, request->json, arena, out, violations);
  decoder.whole = request->method;
  return decode(&parts, &decoder);
}
