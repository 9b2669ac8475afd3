// TLS sessions, two of them in one process: the test carries the bytes from one to the other, in pieces, changed or not
// at all.
#include <criterion/criterion.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/base/check.h"
#include "common/security/tls.h"
#include "tests/support/common/certificates.h"

struct pair {
  struct authority *authority;
  struct tls_context *context;
  struct tls_session *client;
  struct tls_session *server;
};

static struct tls_session *open_session(struct tls_context *context, enum tls_role role, const char *expected)
{
  struct tls_session *session;
  struct error error;
  cr_assert_eq(tls_session_open(context, role, expected, &session, &error), STATUS_OK, "%s", error.message);
  return session;
}

static void pair_open(struct pair *pair, const char *expected)
{
  pair->authority = authority_create();
  pair->context = tls_context_create(authority_file(pair->authority), authority_issue_test(pair->authority));
  pair->client = open_session(pair->context, TLS_CLIENT, expected);
  pair->server = open_session(pair->context, TLS_SERVER, NULL);
}

static void pair_close(struct pair *pair)
{
  tls_session_free(&pair->client);
  tls_session_free(&pair->server);
  tls_context_free(&pair->context);
  authority_free(&pair->authority);
}

// Carries at most `limit` bytes of what a session wants to send. Returns how many.
static size_t carry(struct tls_session *from, struct tls_session *to, size_t limit)
{
  size_t room_size;
  uint8_t *room = tls_session_room(to, &room_size);
  struct slice output = tls_session_output(from);
  size_t size = output.size < limit ? output.size : limit;
  if (size > room_size)
    size = room_size;
  if (size == 0)
    return 0;
  memcpy(room, output.data, size);
  tls_session_sent(from, size);
  tls_session_feed(to, size);
  (void)tls_session_advance(to);
  return size;
}

static void shake_hands(struct pair *pair, size_t limit)
{
  (void)tls_session_advance(pair->client);
  while (carry(pair->client, pair->server, limit) + carry(pair->server, pair->client, limit) != 0)
    continue;
}

static void expect_text(struct tls_session *from, struct tls_session *to, const char *text)
{
  char got[256];
  cr_assert(tls_session_write(from, slice_from_string(text)));
  while (carry(from, to, SIZE_MAX) != 0)
    continue;
  size_t size = tls_session_read(to, got, sizeof(got));
  cr_assert(slice_equal(slice_make(got, size), slice_from_string(text)));
}

static void expect_failure(const struct tls_session *session, const char *reason)
{
  cr_assert_eq(tls_session_state(session), TLS_FAILED);
  cr_assert_not_null(strstr(tls_session_reason(session), reason), "%s", tls_session_reason(session));
  cr_assert_eq(ERR_peek_error(), 0, "OpenSSL's queue of errors is left as it was");
}

// ---- the handshake ----

Test(tls, both_sides_prove_their_names_however_the_network_cuts_the_bytes)
{
  struct pair pair;
  pair_open(&pair, "test");
  cr_assert_eq(tls_session_peer(pair.client).size, 0);
  shake_hands(&pair, 1);
  cr_assert_eq(tls_session_state(pair.client), TLS_OPEN);
  cr_assert_eq(tls_session_state(pair.server), TLS_OPEN);
  cr_assert(slice_equal(tls_session_peer(pair.client), SLICE("test")));
  cr_assert(slice_equal(tls_session_peer(pair.server), SLICE("test")));
  expect_text(pair.client, pair.server, "hello");
  expect_text(pair.server, pair.client, "hello yourself");
  pair_close(&pair);
}

Test(tls, a_server_that_is_another_service_is_refused_and_both_sides_know_why)
{
  struct pair pair;
  pair_open(&pair, "item");
  shake_hands(&pair, SIZE_MAX);
  expect_failure(pair.client, "is that of \"test\", not of \"item\"");
  expect_failure(pair.server, "the other side has refused this one");
  pair_close(&pair);
}

static void expect_refused_client(const char *uri, int days, const char *reason)
{
  struct pair pair;
  pair_open(&pair, "test");
  tls_session_free(&pair.client);
  struct tls_context *context =
      tls_context_create(authority_file(pair.authority), authority_issue(pair.authority, "client.pem", uri, days));
  pair.client = open_session(context, TLS_CLIENT, "test");
  shake_hands(&pair, SIZE_MAX);
  expect_failure(pair.server, reason);
  cr_assert_eq(tls_session_peer(pair.server).size, 0);
  // The client's side of the handshake has ended before the server looks at its certificate.
  char byte;
  cr_assert_eq(tls_session_read(pair.client, &byte, 1), 0);
  expect_failure(pair.client, "the other side has refused this one");
  tls_context_free(&context);
  pair_close(&pair);
}

Test(tls, a_certificate_is_refused_for_what_it_says)
{
  expect_refused_client("bulkhead://service/gateway", 0, "certificate has expired");
  expect_refused_client(NULL, 1, "bulkhead://service/NAME");
  expect_refused_client("bulkhead://service/", 1, "bulkhead://service/NAME");
  expect_refused_client("bulkhead://service/a/b", 1, "bulkhead://service/NAME");
  expect_refused_client("bulkhead://service/Item", 1, "bulkhead://service/NAME");
  expect_refused_client("https://example.com/item", 1, "bulkhead://service/NAME");
  // Two names would make it unclear who it is.
  expect_refused_client("bulkhead://service/item,URI:bulkhead://service/auth", 1, "bulkhead://service/NAME");
}

Test(tls, a_certificate_of_another_authority_is_refused)
{
  struct pair ours, theirs;
  pair_open(&ours, "test");
  pair_open(&theirs, "test");
  struct pair mixed = {.client = theirs.client, .server = ours.server};
  shake_hands(&mixed, SIZE_MAX);
  expect_failure(theirs.client, "self-signed certificate in certificate chain");
  pair_close(&ours);
  pair_close(&theirs);
}

static void expect_garbage(struct slice bytes)
{
  struct pair pair;
  size_t size;
  pair_open(&pair, "test");
  uint8_t *room = tls_session_room(pair.server, &size);
  memcpy(room, bytes.data, bytes.size);
  tls_session_feed(pair.server, bytes.size);
  (void)tls_session_advance(pair.server);
  expect_failure(pair.server, "is no TLS 1.3");
  pair_close(&pair);
}

Test(tls, bytes_that_are_no_handshake_end_the_session)
{
  expect_garbage(SLICE("GET / HTTP/1.1\r\n\r\n"));
  expect_garbage(SLICE("\0SP\0\0\x30\0\0"));
  expect_garbage(SLICE("\x16\x03\x01\xff\xff\x01\x00\x00\x00"));
}

// ---- a client that uses OpenSSL by itself ----

struct stranger {
  SSL_CTX *context;
  SSL *ssl;
};

static void stranger_open(struct stranger *stranger, const struct pair *pair, int version)
{
  stranger->context = SSL_CTX_new(TLS_client_method());
  CHECK(SSL_CTX_set_max_proto_version(stranger->context, version) == 1);
  char path[96];
  snprintf(path, sizeof(path), "%s", authority_issue_test(pair->authority));
  CHECK(SSL_CTX_use_certificate_chain_file(stranger->context, path) == 1);
  CHECK(SSL_CTX_use_PrivateKey_file(stranger->context, path, SSL_FILETYPE_PEM) == 1);
  stranger->ssl = SSL_new(stranger->context);
  SSL_set_bio(stranger->ssl, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
  SSL_set_connect_state(stranger->ssl);
}

static void stranger_close(struct stranger *stranger)
{
  SSL_free(stranger->ssl);
  SSL_CTX_free(stranger->context);
  ERR_clear_error();
}

// Gives the server what the stranger has written. The server's answers go back only if `answers`.
static void exchange(struct stranger *stranger, struct tls_session *server, bool answers)
{
  size_t size;
  uint8_t *room = tls_session_room(server, &size);
  int got = BIO_read(SSL_get_wbio(stranger->ssl), room, (int)size);
  tls_session_feed(server, got > 0 ? (size_t)got : 0);
  (void)tls_session_advance(server);
  struct slice output = tls_session_output(server);
  if (!answers || output.size == 0)
    return;
  CHECK(BIO_write(SSL_get_rbio(stranger->ssl), output.data, (int)output.size) == (int)output.size);
  tls_session_sent(server, output.size);
}

static void stranger_shake_hands(struct stranger *stranger, struct tls_session *server)
{
  for (int i = 0; i < 4; i++) {
    (void)SSL_do_handshake(stranger->ssl);
    ERR_clear_error();
    exchange(stranger, server, true);
  }
}

Test(tls, older_versions_are_refused)
{
  struct pair pair;
  struct stranger stranger;
  pair_open(&pair, "test");
  stranger_open(&stranger, &pair, TLS1_2_VERSION);
  stranger_shake_hands(&stranger, pair.server);
  expect_failure(pair.server, "unsupported protocol");
  stranger_close(&stranger);
  pair_close(&pair);
}

Test(tls, a_session_that_the_other_side_ends_has_ended)
{
  struct pair pair;
  struct stranger stranger;
  char byte;
  pair_open(&pair, "test");
  stranger_open(&stranger, &pair, TLS1_3_VERSION);
  stranger_shake_hands(&stranger, pair.server);
  cr_assert_eq(tls_session_state(pair.server), TLS_OPEN);
  (void)SSL_shutdown(stranger.ssl);
  exchange(&stranger, pair.server, true);
  cr_assert_eq(tls_session_read(pair.server, &byte, 1), 0);
  cr_assert_eq(tls_session_state(pair.server), TLS_ENDED);
  cr_assert_not(tls_session_write(pair.server, SLICE("late")));
  stranger_close(&stranger);
  pair_close(&pair);
}

// Each request for new keys wants an answer. A stranger who asks and does not read must not fill the memory.
Test(tls, answers_that_nobody_reads_are_limited)
{
  enum { LIMIT = 2 * 1024 * 1024, ENOUGH = 200000 };
  struct pair pair;
  struct stranger stranger;
  char byte;
  pair_open(&pair, "test");
  stranger_open(&stranger, &pair, TLS1_3_VERSION);
  stranger_shake_hands(&stranger, pair.server);
  for (int i = 0; i < ENOUGH && tls_session_state(pair.server) == TLS_OPEN; i++) {
    CHECK(SSL_key_update(stranger.ssl, SSL_KEY_UPDATE_REQUESTED) == 1);
    (void)SSL_do_handshake(stranger.ssl);
    exchange(&stranger, pair.server, false);
    (void)tls_session_read(pair.server, &byte, 1);
    cr_assert_leq(tls_session_output(pair.server).size, LIMIT);
  }
  expect_failure(pair.server, "does not read");
  stranger_close(&stranger);
  pair_close(&pair);
}

// ---- data ----

Test(tls, a_changed_byte_ends_the_session)
{
  struct pair pair;
  char got[64];
  size_t size;
  pair_open(&pair, "test");
  shake_hands(&pair, SIZE_MAX);
  cr_assert(tls_session_write(pair.client, SLICE("pay 10")));
  struct slice sealed = tls_session_output(pair.client);
  uint8_t *room = tls_session_room(pair.server, &size);
  memcpy(room, sealed.data, sealed.size);
  room[sealed.size / 2] ^= 1;
  tls_session_feed(pair.server, sealed.size);
  cr_assert_eq(tls_session_read(pair.server, got, sizeof(got)), 0);
  expect_failure(pair.server, "bad record mac");
  pair_close(&pair);
}

// What was received stays inside until the reader has room for it.
Test(tls, plaintext_is_taken_in_any_pieces)
{
  enum { SIZE = 40000 };
  struct pair pair;
  static char sent[SIZE], got[SIZE];
  size_t total = 0, size = 0;
  pair_open(&pair, "test");
  shake_hands(&pair, SIZE_MAX);
  for (size_t i = 0; i < SIZE; i++)
    sent[i] = (char)(i * 7);
  cr_assert(tls_session_write(pair.client, slice_make(sent, SIZE)));
  cr_assert_gt(carry(pair.client, pair.server, SIZE_MAX), SIZE);
  while ((size = tls_session_read(pair.server, got + total, total + 777 > SIZE ? SIZE - total : 777)) != 0)
    total += size;
  cr_assert_eq(total, SIZE);
  cr_assert_arr_eq(got, sent, SIZE);
  pair_close(&pair);
}

// ---- files ----

Test(tls, files_that_cannot_be_used_are_named)
{
  struct authority *authority = authority_create();
  struct authority *other = authority_create();
  const char *own = authority_issue_test(authority);
  const struct {
    const char *ca_file, *cert_key_file, *reason;
  } cases[] = {
      {authority_file(authority), NULL, "RPC_TLS_CERT_KEY"},
      {"/nonexistent/ca.pem", own, "/nonexistent/ca.pem"},
      {authority_file(authority), "/nonexistent/own.pem", "/nonexistent/own.pem"},
      {authority_file(authority), authority_file(other), authority_file(other)},
  };
  for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
    struct tls_context *context = tls_context_create(cases[i].ca_file, cases[i].cert_key_file);
    struct error error;
    cr_assert_eq(tls_context_load(context, &error), STATUS_INVALID_ARGUMENT);
    cr_assert_not_null(strstr(error.message, cases[i].reason), "%s", error.message);
    tls_context_free(&context);
  }
  authority_free(&authority);
  authority_free(&other);
}

Test(tls, a_context_whose_files_come_later_can_be_used_then)
{
  struct authority *authority = authority_create();
  struct authority *scratch = authority_create();
  struct error error;
  const char *own = authority_issue_test(scratch);
  cr_assert_eq(remove(own), 0);
  struct tls_context *context = tls_context_create(authority_file(authority), own);
  cr_assert_neq(tls_context_load(context, &error), STATUS_OK);
  authority_issue_test(scratch);
  cr_assert_eq(tls_context_load(context, &error), STATUS_OK, "%s", error.message);
  tls_context_free(&context);
  authority_free(&authority);
  authority_free(&scratch);
}

// ---- open sessions ----

static bool is_still_accepted(struct pair *pair, struct tls_session *session, long days, const char *reason)
{
  struct error error = {0};
  bool accepted = tls_session_recheck(session, pair->context, (int64_t)time(NULL) + days * 24 * 60 * 60, &error);
  cr_expect(accepted || strstr(error.message, reason) != NULL, "%s", error.message);
  cr_expect_eq(ERR_peek_error(), 0, "OpenSSL's queue of errors is left as it was");
  return accepted;
}

Test(tls, a_certificate_of_an_open_session_is_judged_again_by_files_and_time)
{
  struct authority *second = authority_create();
  struct pair pair;
  pair_open(&pair, "test");
  shake_hands(&pair, SIZE_MAX);
  cr_expect(is_still_accepted(&pair, pair.client, 0, ""));
  cr_expect(is_still_accepted(&pair, pair.server, 0, ""));
  cr_expect_not(is_still_accepted(&pair, pair.client, 2, "has expired"));
  cr_expect_not(is_still_accepted(&pair, pair.server, 2, "has expired"));
  authority_trust(pair.authority, "ca.pem", second);
  cr_expect(is_still_accepted(&pair, pair.server, 0, ""), "another authority was added");
  cr_assert_eq(rename(authority_file(second), authority_file(pair.authority)), 0);
  cr_expect_not(is_still_accepted(&pair, pair.client, 0, "self-signed certificate in certificate chain"));
  cr_expect_not(is_still_accepted(&pair, pair.server, 0, "self-signed certificate in certificate chain"));
  authority_trust(pair.authority, "ca.pem", NULL);
  cr_expect(is_still_accepted(&pair, pair.server, 0, ""));
  expect_text(pair.client, pair.server, "still open");
  pair_close(&pair);
  authority_free(&second);
}
