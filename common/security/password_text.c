#include "common/security/password_text_internal.h"

#include <stdlib.h>
#include <string.h>
#include <uninorm.h>

#include "common/base/utf8.h"
#include "common/security/key.h"

// Takes over what libunistring has written, into `text->bytes` or, where that was too small, into memory of its own.
static enum status keep(struct password_text *text, uint8_t *written, size_t size)
{
  text->code_points = utf8_length(slice_make(written, size));
  bool fits = text->code_points <= PASSWORD_MAX_CODE_POINTS;
  if (fits && written != (uint8_t *)text->bytes)
    memcpy(text->bytes, written, size);
  text->size = fits ? size : 0;
  if (written != (uint8_t *)text->bytes) {
    key_erase(written, size);
    free(written);
  }
  return fits ? STATUS_OK : STATUS_OUT_OF_RANGE;
}

enum status password_normalise(struct slice given, struct password_text *text)
{
  text->code_points = text->size = 0;
  if (given.size == 0 || !utf8_valid(given))
    return STATUS_INVALID_ARGUMENT;
  if (given.size > PASSWORD_MAX_GIVEN_BYTES)
    return STATUS_OUT_OF_RANGE;
  size_t size = sizeof(text->bytes);
  uint8_t *written = u8_normalize(UNINORM_NFC, (const uint8_t *)given.data, given.size, (uint8_t *)text->bytes, &size);
  return written == NULL ? STATUS_RESOURCE_EXHAUSTED : keep(text, written, size);
}

void password_text_erase(struct password_text *text)
{
  key_erase(text, sizeof(*text));
}
