// The CBOR of passkeys: the attestation object of a registration, a map of a format, a statement and the
// authenticator's data; and whether what those hold is fit to be read by libfido2.
#include "common/security/webauthn_internal.h"

// RFC 8949's major types that an attestation object is made of.
enum major_type { CBOR_UINT, CBOR_NEGATIVE, CBOR_BYTES, CBOR_TEXT, CBOR_ARRAY, CBOR_MAP, CBOR_TAG, CBOR_SIMPLE };

// How deep items may lie in each other: a key is a map of numbers and bytes, extensions are maps of a few values.
#define MAX_DEPTH 4

struct cbor {
  struct slice left;
};

// Reads the head of an item: its type and the number in it. False for indefinite lengths, tags, and simple values but
// true, false and null.
static bool read_head(struct cbor *cbor, enum major_type *type, uint64_t *number)
{
  if (cbor->left.size == 0)
    return false;
  unsigned char first = (unsigned char)cbor->left.data[0];
  unsigned short_number = first & 0x1f;
  cbor->left = slice_skip(cbor->left, 1);
  if (first >> 5 == CBOR_TAG || short_number > 27 || (first >> 5 == CBOR_SIMPLE && short_number > 22))
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

// ---- what libfido2 reads ----

// The items that are left to be read at each depth.
struct cbor_levels {
  uint64_t left[MAX_DEPTH];
  size_t depth;
};

// Reads an item, or the head of one that holds others. A count that the bytes cannot hold is refused: whoever believed
// it would allocate as much memory as a stranger likes.
static bool pass_item(struct cbor *cbor, struct cbor_levels *levels)
{
  enum major_type type;
  uint64_t number;
  if (!read_head(cbor, &type, &number))
    return false;
  bool is_string = type == CBOR_BYTES || type == CBOR_TEXT;
  bool holds_items = type == CBOR_ARRAY || type == CBOR_MAP;
  if ((is_string || holds_items) && number > cbor->left.size)
    return false;
  if (is_string)
    cbor->left = slice_skip(cbor->left, (size_t)number);
  if (!holds_items)
    return true;
  if (levels->depth == MAX_DEPTH)
    return false;
  levels->left[levels->depth++] = type == CBOR_MAP ? 2 * number : number;
  return true;
}

bool cbor_holds_items(struct slice bytes, size_t count)
{
  struct cbor cbor = {.left = bytes};
  struct cbor_levels levels = {.left = {count}, .depth = 1};
  while (levels.depth > 0) {
    uint64_t *left = &levels.left[levels.depth - 1];
    if (*left == 0) {
      levels.depth--;
      continue;
    }
    --*left;
    if (!pass_item(&cbor, &levels))
      return false;
  }
  return cbor.left.size == 0;
}
