// Translates one JSON document to one message.
#include "common/transcode/decoder_internal.h"
#include "common/transcode/transcode.h"
#include "common/transcode/well_known_internal.h"

// Decodes a document that is a well-known message as a whole.
static void decode_text_document(struct decoder *decoder, const struct contract_message *message,
                                 enum jsontext_token token)
{
  const char *problem = token == JSONTEXT_STRING
                            ? well_known_from_text(message->well_known, decoder->reader.text, decoder->out)
                            : "must be a string";
  if (problem != NULL)
    decoder_report(decoder, NULL, problem);
}

static void decode_wrapper_document(struct decoder *decoder, const struct contract_message *message,
                                    enum jsontext_token token)
{
  const struct contract_field *inner = &message->fields[0];
  struct scalar value = {0};
  const char *problem = scalar_from_json(inner, token, decoder->reader.text, decoder_memory(decoder), &value);
  if (problem == NULL)
    problem = scalar_check_rules(inner, &value, &decoder->scratch);
  if (problem != NULL)
    decoder_report(decoder, NULL, problem);
  else if (!scalar_is_default(inner, &value))
    scalar_write(decoder->out, inner, &value);
}

static bool decode_document(struct decoder *decoder, const struct contract_message *message)
{
  enum jsontext_token token = jsontext_read(&decoder->reader);
  if (token == JSONTEXT_ERROR)
    return false;
  if (well_known_is_text(message->well_known) || message->well_known == CONTRACT_WRAPPER) {
    if (message->well_known == CONTRACT_WRAPPER)
      decode_wrapper_document(decoder, message, token);
    else
      decode_text_document(decoder, message, token);
    return decode_skip(decoder, token);
  }
  if (token != JSONTEXT_OBJECT_BEGIN) {
    decoder_report(decoder, NULL, "must be an object");
    return decode_skip(decoder, token);
  }
  struct message_target target = {.message = message, .source = FROM_OBJECT, .scope = NO_SCOPE};
  return decode_message(decoder, &target);
}

enum status transcode_json_to_wire(const struct contract_message *message, struct slice json, struct arena *arena,
                                   struct strbuf *out, struct violations *violations)
{
  struct decoder decoder;
  decoder_init(&decoder, json, arena, out, violations);
  if (!decode_document(&decoder, message) || jsontext_read(&decoder.reader) != JSONTEXT_END)
    decoder_report_syntax(&decoder);
  if (out->failed)
    decoder_report(&decoder, NULL, "is too large");
  decoder_free(&decoder);
  return violations->count == 0 ? STATUS_OK : STATUS_INVALID_ARGUMENT;
}
