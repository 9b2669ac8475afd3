// Strangers at a TLS session. The first byte chooses what the rest is:
//   'h'  bytes for a server that waits for a handshake
//   'c'  bytes for a client that waits for its answer
//   otherwise changes of what a client and a server with good certificates send each other, as pairs of bytes: how many
//   bytes go on unchanged, and what the next one is XORed with
// A session never has a name unless it is open, and never gives out what was not sent.
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/observe/log.h"
#include "common/security/tls.h"
#include "tests/support/common/certificates.h"

#define TEXT "what the other side has sent"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct authority *authority;

static void remove_authority(void)
{
  authority_free(&authority);
}

static struct tls_session *open_session(enum tls_role role)
{
  static struct tls_context *context;
  struct tls_session *session;
  struct error error;
  if (context == NULL) {
    log_init("fuzz", LOG_ERROR);
    authority = authority_create();
    atexit(remove_authority);
    context = tls_context_create(authority_file(authority), authority_issue_test(authority));
  }
  CHECK(tls_session_open(context, role, role == TLS_CLIENT ? "test" : NULL, &session, &error) == STATUS_OK);
  (void)tls_session_advance(session);
  return session;
}

// Reads what has come. All of it must be the beginning of TEXT, over and over.
static void read_text(struct tls_session *session)
{
  char got[64];
  size_t size;
  while ((size = tls_session_read(session, got, sizeof(TEXT) - 1)) != 0)
    CHECK(memcmp(got, TEXT, size) == 0);
  bool named = tls_session_peer(session).size != 0;
  CHECK(!named || slice_equal(tls_session_peer(session), SLICE("test")));
}

static size_t feed(struct tls_session *session, const uint8_t *data, size_t size)
{
  size_t room_size;
  uint8_t *room = tls_session_room(session, &room_size);
  size_t fed = size < room_size ? size : room_size;
  if (fed != 0)
    memcpy(room, data, fed);
  tls_session_feed(session, fed);
  (void)tls_session_advance(session);
  read_text(session);
  return fed;
}

static void feed_garbage(enum tls_role role, const uint8_t *data, size_t size)
{
  struct tls_session *session = open_session(role);
  size_t fed = 1;
  while (size != 0 && fed != 0) {
    fed = feed(session, data, size > 7 ? 7 : size);
    data += fed;
    size -= fed;
  }
  CHECK(tls_session_state(session) != TLS_OPEN && tls_session_peer(session).size == 0);
  tls_session_free(&session);
}

struct changes {
  const uint8_t *data;
  size_t size;
};

// Applies changes to the bytes until one lies beyond them.
static void apply_changes(uint8_t *bytes, size_t size, struct changes *changes)
{
  size_t at = 0;
  while (changes->size >= 2) {
    at += changes->data[0];
    if (at >= size)
      return;
    bytes[at] ^= changes->data[1];
    changes->data += 2;
    changes->size -= 2;
  }
}

// Carries what a session wants to send, changed. Returns how many bytes.
static size_t carry(struct tls_session *from, struct tls_session *to, struct changes *changes)
{
  uint8_t bytes[4096];
  struct slice output = tls_session_output(from);
  if (output.data == NULL)
    return 0;
  size_t size = output.size < sizeof(bytes) ? output.size : sizeof(bytes);
  memcpy(bytes, output.data, size);
  apply_changes(bytes, size, changes);
  size_t fed = feed(to, bytes, size);
  tls_session_sent(from, fed);
  return fed;
}

static void change_bytes(struct changes changes)
{
  struct tls_session *client = open_session(TLS_CLIENT), *server = open_session(TLS_SERVER);
  for (int i = 0; i < 64 && carry(client, server, &changes) + carry(server, client, &changes) != 0; i++) {
    if (i % 8 < 4 && tls_session_state(client) == TLS_OPEN && tls_session_write(client, SLICE(TEXT)))
      read_text(client);
    if (i % 8 < 4 && tls_session_state(server) == TLS_OPEN && tls_session_write(server, SLICE(TEXT)))
      read_text(server);
  }
  tls_session_free(&client);
  tls_session_free(&server);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
  if (size != 0 && data[0] == 'h')
    feed_garbage(TLS_SERVER, data + 1, size - 1);
  else if (size != 0 && data[0] == 'c')
    feed_garbage(TLS_CLIENT, data + 1, size - 1);
  else
    change_bytes((struct changes){data, size});
  return 0;
}
