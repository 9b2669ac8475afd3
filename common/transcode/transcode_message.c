// Translates a JSON value to one message, without a request around it.
#include "common/transcode/decoder_internal.h"
#include "common/transcode/transcode.h"

static bool decode_document(struct decoder *decoder, const struct contract_message *message)
{
  const struct message_target target = {.message = message, .source = FROM_OBJECT, .scope = NO_SCOPE};
  enum jsontext_token token = jsontext_read(&decoder->reader);
  if (token == JSONTEXT_ERROR)
    return false;
  if (token == JSONTEXT_NULL && message->well_known != CONTRACT_VALUE)
    decoder_report(decoder, NULL, "must not be null");
  else if (!decode_content(decoder, message, token, &target))
    return false;
  return jsontext_read(&decoder->reader) == JSONTEXT_END;
}

enum status transcode_message_from_json(const struct contract_message *message, struct slice json,
                                        const struct transcode_profile *profile, struct arena *arena,
                                        struct strbuf *out, struct violations *violations)
{
  struct decoder decoder;
  decoder_init(&decoder, json, arena, out, violations);
  if (profile != NULL)
    decoder.profile = profile;
  if (!decode_document(&decoder, message))
    decoder_report_syntax(&decoder);
  if (out->failed)
    decoder_report(&decoder, NULL, "is too large");
  decoder_free(&decoder);
  return violations->count == 0 ? STATUS_OK : STATUS_INVALID_ARGUMENT;
}
