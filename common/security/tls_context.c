// The files of a context become one SSL_CTX, which is replaced as a whole. Whether they have changed is seen by their
// inode, size and time at each new session and each look at an open one: two calls of stat beside a handshake that
// costs a thousand times as much.
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/file_stamp.h"
#include "common/base/memory.h"
#include "common/observe/log.h"
#include "common/observe/metrics.h"
#include "common/security/tls_context_internal.h"

#define NAME_PREFIX "bulkhead://service/"
#define CIPHERS "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256"

struct tls_context {
  char *ca_file;
  char *cert_key_file;
  pthread_mutex_t mutex;
  // The rest is guarded by the mutex.
  SSL_CTX *loaded;              // NULL until the files could be used
  uint64_t generation;          // of `loaded`: how often it was replaced
  struct file_stamp stamps[2];  // of the files when they were last tried
  struct error error;           // why they could not be used then
};

// ---- the other side's certificate ----

static bool is_name(const char *name, size_t size)
{
  for (size_t i = 0; i < size; i++)
    if (!(name[i] >= 'a' && name[i] <= 'z') && !(name[i] >= '0' && name[i] <= '9') && name[i] != '-' && name[i] != '_')
      return false;
  return size != 0 && size <= TLS_NAME_MAX_BYTES;
}

// Copies the service's name out of a URI. False for a URI of another kind.
static bool read_uri(const ASN1_STRING *uri, char out[TLS_NAME_MAX_BYTES + 1])
{
  size_t size = (size_t)ASN1_STRING_length(uri);
  const char *text = (const char *)ASN1_STRING_get0_data(uri);
  size_t prefix = sizeof(NAME_PREFIX) - 1;
  if (size <= prefix || memcmp(text, NAME_PREFIX, prefix) != 0 || !is_name(text + prefix, size - prefix))
    return false;
  memcpy(out, text + prefix, size - prefix);
  out[size - prefix] = '\0';
  return true;
}

// Finds the service that the certificate names. False unless it names exactly one.
static bool read_service(const X509 *certificate, char out[TLS_NAME_MAX_BYTES + 1])
{
  GENERAL_NAMES *names = X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL);
  size_t found = 0;
  for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
    const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);
    if (name->type == GEN_URI && read_uri(name->d.uniformResourceIdentifier, out))
      found++;
  }
  GENERAL_NAMES_free(names);
  return found == 1;
}

static int refuse_peer(X509_STORE_CTX *store)
{
  X509_STORE_CTX_set_error(store, X509_V_ERR_APPLICATION_VERIFICATION);
  return 0;
}

// Judges the chain as OpenSSL does, and then the name. Runs inside the handshake.
static int verify_peer(X509_STORE_CTX *store, void *arg)
{
  (void)arg;
  SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
  struct tls_peer *peer = SSL_get_app_data(ssl);
  char name[TLS_NAME_MAX_BYTES + 1];
  if (X509_verify_cert(store) != 1) {
    snprintf(peer->problem, sizeof(peer->problem), "the other side's certificate: %s",
             X509_verify_cert_error_string(X509_STORE_CTX_get_error(store)));
    return 0;
  }
  if (!read_service(X509_STORE_CTX_get0_cert(store), name)) {
    snprintf(peer->problem, sizeof(peer->problem),
             "the other side's certificate must hold one URI " NAME_PREFIX "NAME in its subjectAltName");
    return refuse_peer(store);
  }
  if (peer->expected[0] != '\0' && strcmp(name, peer->expected) != 0) {
    snprintf(peer->problem, sizeof(peer->problem), "the other side's certificate is that of \"%s\", not of \"%s\"",
             name, peer->expected);
    return refuse_peer(store);
  }
  memcpy(peer->name, name, sizeof(name));
  return 1;
}

// ---- files ----

// A key with a passphrase must fail, rather than ask at the terminal.
static int refuse_passphrase(char *out, int size, int writing, void *arg)
{
  (void)out, (void)size, (void)writing, (void)arg;
  return -1;
}

static void set_rules(SSL_CTX *ssl)
{
  CHECK(SSL_CTX_set_min_proto_version(ssl, TLS1_3_VERSION) == 1);
  CHECK(SSL_CTX_set_max_proto_version(ssl, TLS1_3_VERSION) == 1);
  CHECK(SSL_CTX_set_ciphersuites(ssl, CIPHERS) == 1);
  // Connections live long, so there is nothing to gain from resuming one.
  CHECK(SSL_CTX_set_num_tickets(ssl, 0) == 1);
  SSL_CTX_set_session_cache_mode(ssl, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_options(ssl, SSL_OP_NO_RENEGOTIATION);
  SSL_CTX_set_verify(ssl, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
  SSL_CTX_set_cert_verify_callback(ssl, verify_peer, NULL);
  SSL_CTX_set_default_passwd_cb(ssl, refuse_passphrase);
}

// Returns the first thing that is wrong with the files, as a path; NULL if they can be used.
static const char *read_files(const struct tls_context *context, SSL_CTX *ssl)
{
  if (SSL_CTX_load_verify_locations(ssl, context->ca_file, NULL) != 1)
    return context->ca_file;
  if (SSL_CTX_use_certificate_chain_file(ssl, context->cert_key_file) != 1 ||
      SSL_CTX_use_PrivateKey_file(ssl, context->cert_key_file, SSL_FILETYPE_PEM) != 1 ||
      SSL_CTX_check_private_key(ssl) != 1)
    return context->cert_key_file;
  return NULL;
}

static SSL_CTX *make_ssl_context(const struct tls_context *context, struct error *error)
{
  if (context->cert_key_file == NULL) {
    error_set(error, STATUS_INVALID_ARGUMENT,
              "TLS: beside the file of authorities (RPC_TLS_CA) the service's own certificate and key are needed "
              "(RPC_TLS_CERT_KEY)");
    return NULL;
  }
  ERR_clear_error();
  SSL_CTX *ssl = SSL_CTX_new(TLS_method());
  CHECK(ssl != NULL);
  set_rules(ssl);
  const char *unusable = read_files(context, ssl);
  if (unusable == NULL)
    return ssl;
  const char *reason = ERR_reason_error_string(ERR_peek_last_error());
  error_set(error, STATUS_INVALID_ARGUMENT, "TLS: %s: %s; it must be a readable PEM file with %s", unusable,
            reason == NULL ? "cannot be used" : reason,
            unusable == context->ca_file ? "the authorities' certificates"
                                         : "this service's certificate and its key without a passphrase");
  ERR_clear_error();
  SSL_CTX_free(ssl);
  return NULL;
}

// Replaces what is in use if the files have changed and are good. The caller holds the mutex.
static void refresh(struct tls_context *context)
{
  struct file_stamp stamps[2] = {file_stamp_take(context->ca_file), file_stamp_take(context->cert_key_file)};
  bool tried = context->loaded != NULL || context->error.status != STATUS_OK;
  if (tried && file_stamp_equal(&stamps[0], &context->stamps[0]) && file_stamp_equal(&stamps[1], &context->stamps[1]))
    return;
  context->error = (struct error){0};
  SSL_CTX *made = make_ssl_context(context, &context->error);
  memcpy(context->stamps, stamps, sizeof(stamps));
  const char *result = made == NULL ? "failed" : "ok";
  metric_add_from_any_thread(metrics_series(METRIC_TLS_FILES_READ, (struct slice[]){slice_from_string(result)}, 1), 1);
  if (made == NULL) {
    log_error("tls",
              context->loaded == NULL ? "the certificate files cannot be used"
                                      : "the changed certificate files cannot be used; the old ones stay in use",
              LOG_STRING("reason", context->error.message));
    return;
  }
  log_info("tls", context->loaded == NULL ? "certificate files read" : "certificate files have changed and were read",
           LOG_STRING("certificate", context->cert_key_file));
  SSL_CTX_free(context->loaded);
  context->loaded = made;
  context->generation++;
}

// ---- life ----

struct tls_context *tls_context_create(const char *ca_file, const char *cert_key_file)
{
  struct tls_context *context = calloc(1, sizeof(*context));
  CHECK(context != NULL);
  context->ca_file = memory_copy_string(ca_file);
  context->cert_key_file = memory_copy_string(cert_key_file);
  CHECK(pthread_mutex_init(&context->mutex, NULL) == 0);
  return context;
}

void tls_context_free(struct tls_context **context_pointer)
{
  struct tls_context *context = *context_pointer;
  *context_pointer = NULL;
  if (context == NULL)
    return;
  SSL_CTX_free(context->loaded);
  pthread_mutex_destroy(&context->mutex);
  free(context->ca_file);
  free(context->cert_key_file);
  free(context);
}

enum status tls_context_load(struct tls_context *context, struct error *error)
{
  pthread_mutex_lock(&context->mutex);
  refresh(context);
  enum status status = context->loaded == NULL ? context->error.status : STATUS_OK;
  if (status != STATUS_OK)
    *error = context->error;
  pthread_mutex_unlock(&context->mutex);
  return status;
}

enum status tls_context_make_ssl(struct tls_context *context, struct tls_peer *peer, struct ssl_st **out,
                                 struct error *error)
{
  enum status status = tls_context_load(context, error);
  if (status != STATUS_OK)
    return status;
  pthread_mutex_lock(&context->mutex);
  SSL *ssl = SSL_new(context->loaded);
  peer->generation = context->generation;
  pthread_mutex_unlock(&context->mutex);
  CHECK(ssl != NULL && SSL_set_app_data(ssl, peer) == 1);
  *out = ssl;
  return STATUS_OK;
}

// ---- open sessions ----

static bool has_expired(const STACK_OF(X509) * chain, int64_t now)
{
  time_t time = (time_t)now;
  for (int i = 0; i < sk_X509_num(chain); i++)
    if (X509_cmp_time(X509_get0_notAfter(sk_X509_value(chain, i)), &time) != 1)
      return true;
  return false;
}

// Verifies the chain that the other side has shown in the handshake, as the handshake does.
static bool verify_again(const SSL_CTX *loaded, SSL *ssl, int64_t now, struct error *error)
{
  X509_STORE_CTX *store = X509_STORE_CTX_new();
  CHECK(store != NULL);
  CHECK(X509_STORE_CTX_init(store, SSL_CTX_get_cert_store(loaded), SSL_get0_peer_certificate(ssl),
                            SSL_get_peer_cert_chain(ssl)) == 1);
  CHECK(X509_STORE_CTX_set_default(store, SSL_is_server(ssl) ? "ssl_client" : "ssl_server") == 1);
  X509_VERIFY_PARAM_set_auth_level(X509_STORE_CTX_get0_param(store), SSL_get_security_level(ssl));
  X509_STORE_CTX_set_time(store, 0, (time_t)now);
  bool accepted = X509_verify_cert(store) == 1;
  if (!accepted)
    error_set(error, STATUS_UNAUTHENTICATED, "its certificate: %s",
              X509_verify_cert_error_string(X509_STORE_CTX_get_error(store)));
  X509_STORE_CTX_free(store);
  ERR_clear_error();
  return accepted;
}

bool tls_context_recheck(struct tls_context *context, struct tls_peer *peer, SSL *ssl, int64_t now, struct error *error)
{
  pthread_mutex_lock(&context->mutex);
  refresh(context);
  uint64_t generation = context->generation;
  SSL_CTX *loaded = context->loaded;
  if (loaded != NULL)
    CHECK(SSL_CTX_up_ref(loaded) == 1);
  pthread_mutex_unlock(&context->mutex);
  // The chain that was verified may have expired where another leads to an authority that has not.
  bool is_known = peer->generation == generation && !has_expired(SSL_get0_verified_chain(ssl), now);
  bool accepted = is_known || (loaded != NULL && verify_again(loaded, ssl, now, error));
  SSL_CTX_free(loaded);
  if (accepted)
    peer->generation = generation;
  return accepted;
}
