// The attestation object of a registration: a CBOR map of a format, a statement and the authenticator's data.
#include "common/security/webauthn_internal.h"

// RFC 8949's major types that an attestation object is made of.
enum major_type { CBOR_UINT, CBOR_NEGATIVE, CBOR_BYTES, CBOR_TEXT, CBOR_ARRAY, CBOR_MAP };

struct cbor {
  struct slice left;
};

// Reads the head of an item: its type and the number in it. False for indefinite lengths, tags and simple values.
static bool read_head(struct cbor *cbor, enum major_type *type, uint64_t *number)
{
  if (cbor->left.size == 0)
    return false;
  unsigned char first = (unsigned char)cbor->left.data[0];
  unsigned short_number = first & 0x1f;
  cbor->left = slice_skip(cbor->left, 1);
  if (first >> 5 > CBOR_MAP || short_number > 27)
    return false;
  *type = (enum major_type)(first >> 5);
  *number = short_number;
  if (short_number < 24)
    return true;
  size_t size = (size_t)1 << (short_number - 24);
  if (cbor->left.size < size)
    return false;
  *number = 0;
  for (size_t i = 0; i < size; i++)
    *number = *number << 8 | (unsigned char)cbor->left.data[i];
  cbor->left = slice_skip(cbor->left, size);
  return true;
}

static bool read_string(struct cbor *cbor, enum major_type wanted, struct slice *string)
{
  enum major_type type;
  uint64_t size;
  if (!read_head(cbor, &type, &size) || type != wanted || size > cbor->left.size)
    return false;
  *string = slice_make(cbor->left.data, (size_t)size);
  cbor->left = slice_skip(cbor->left, (size_t)size);
  return true;
}

static bool read_integer(struct cbor *cbor, int64_t *integer)
{
  enum major_type type;
  uint64_t number;
  if (!read_head(cbor, &type, &number) || number > INT64_MAX)
    return false;
  *integer = type == CBOR_NEGATIVE ? -1 - (int64_t)number : (int64_t)number;
  return type == CBOR_UINT || type == CBOR_NEGATIVE;
}

static bool read_map(struct cbor *cbor, uint64_t *count)
{
  enum major_type type;
  return read_head(cbor, &type, count) && type == CBOR_MAP;
}

// Reads a statement of at most an algorithm and a signature: that of "none" has no member, that of a self attestation
// both.
static bool read_statement(struct cbor *cbor, struct attestation *attestation)
{
  uint64_t count;
  if (!read_map(cbor, &count) || count > 2)
    return false;
  attestation->statement_members = (size_t)count;
  for (uint64_t i = 0; i < count; i++) {
    struct slice key;
    if (!read_string(cbor, CBOR_TEXT, &key))
      return false;
    if (slice_equal(key, SLICE("alg")) && !attestation->has_algorithm) {
      attestation->has_algorithm = true;
      if (!read_integer(cbor, &attestation->algorithm))
        return false;
    } else if (!slice_equal(key, SLICE("sig")) || attestation->signature.data != NULL ||
               !read_string(cbor, CBOR_BYTES, &attestation->signature)) {
      return false;
    }
  }
  return true;
}

static bool read_part(struct cbor *cbor, struct attestation *attestation, bool *has_statement)
{
  struct slice key;
  if (!read_string(cbor, CBOR_TEXT, &key))
    return false;
  if (slice_equal(key, SLICE("fmt")) && attestation->format.data == NULL)
    return read_string(cbor, CBOR_TEXT, &attestation->format);
  if (slice_equal(key, SLICE("authData")) && attestation->authenticator_data.data == NULL)
    return read_string(cbor, CBOR_BYTES, &attestation->authenticator_data);
  if (!slice_equal(key, SLICE("attStmt")) || *has_statement)
    return false;
  *has_statement = true;
  return read_statement(cbor, attestation);
}

bool attestation_read(struct slice bytes, struct attestation *attestation)
{
  *attestation = (struct attestation){0};
  struct cbor cbor = {.left = bytes};
  uint64_t count;
  bool has_statement = false;
  if (!read_map(&cbor, &count) || count != 3)
    return false;
  for (uint64_t i = 0; i < count; i++)
    if (!read_part(&cbor, attestation, &has_statement))
      return false;
  // Three different parts have been read, so none is missing.
  return cbor.left.size == 0;
}
