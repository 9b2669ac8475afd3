#include "tests/support/common/certificates.h"

#include <dirent.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/check.h"

#define MAX_FILES 16
#define FOLDER "/tmp/bulkhead-tls.XXXXXX"
#define DAY_SECONDS (24 * 60 * 60L)

struct authority {
  char folder[32];
  EVP_PKEY *key;
  X509 *certificate;
  char paths[MAX_FILES][96];
  size_t path_count;
  long serial;
};

static const char *add_path(struct authority *authority, const char *file)
{
  char path[96];
  snprintf(path, sizeof(path), "%s/%s", authority->folder, file);
  for (size_t i = 0; i < authority->path_count; i++)
    if (strcmp(authority->paths[i], path) == 0)
      return authority->paths[i];
  CHECK(authority->path_count < MAX_FILES);
  char *kept = authority->paths[authority->path_count++];
  memcpy(kept, path, sizeof(path));
  return kept;
}

static void write_file(const char *path, X509 *certificate, EVP_PKEY *key)
{
  char temporary[128];
  snprintf(temporary, sizeof(temporary), "%s.new", path);
  FILE *out = fopen(temporary, "we");
  CHECK(out != NULL && PEM_write_X509(out, certificate) == 1);
  CHECK(key == NULL || PEM_write_PrivateKey(out, key, NULL, NULL, 0, NULL, NULL) == 1);
  CHECK(fclose(out) == 0 && rename(temporary, path) == 0);
}

static void add_extension(X509 *certificate, int id, const char *value)
{
  X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, NULL, id, value);
  CHECK(extension != NULL && X509_add_ext(certificate, extension, -1) == 1);
  X509_EXTENSION_free(extension);
}

static X509 *make_certificate(struct authority *authority, EVP_PKEY *key, const char *name, long seconds)
{
  X509 *certificate = X509_new();
  CHECK(certificate != NULL && X509_set_version(certificate, 2) == 1);
  CHECK(ASN1_INTEGER_set(X509_get_serialNumber(certificate), ++authority->serial) == 1);
  CHECK(X509_gmtime_adj(X509_getm_notBefore(certificate), -DAY_SECONDS) != NULL);
  CHECK(X509_gmtime_adj(X509_getm_notAfter(certificate), seconds) != NULL);
  CHECK(X509_set_pubkey(certificate, key) == 1);
  X509_NAME *subject = X509_get_subject_name(certificate);
  CHECK(X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, (const unsigned char *)name, -1, -1, 0) == 1);
  X509 *issuer = authority->certificate == NULL ? certificate : authority->certificate;
  CHECK(X509_set_issuer_name(certificate, X509_get_subject_name(issuer)) == 1);
  return certificate;
}

struct authority *authority_create(void)
{
  struct authority *authority = calloc(1, sizeof(*authority));
  CHECK(authority != NULL);
  memcpy(authority->folder, FOLDER, sizeof(FOLDER));
  CHECK(mkdtemp(authority->folder) != NULL);
  authority->key = EVP_EC_gen("P-256");
  CHECK(authority->key != NULL);
  // The name tells authorities apart, as that of their folder does.
  X509 *certificate = make_certificate(authority, authority->key, authority->folder, 2 * DAY_SECONDS);
  add_extension(certificate, NID_basic_constraints, "critical,CA:TRUE");
  CHECK(X509_sign(certificate, authority->key, EVP_sha256()) > 0);
  authority->certificate = certificate;
  write_file(add_path(authority, "ca.pem"), certificate, NULL);
  return authority;
}

void authority_free(struct authority **authority_pointer)
{
  struct authority *authority = *authority_pointer;
  *authority_pointer = NULL;
  for (size_t i = 0; i < authority->path_count; i++)
    unlink(authority->paths[i]);
  rmdir(authority->folder);
  X509_free(authority->certificate);
  EVP_PKEY_free(authority->key);
  free(authority);
}

const char *authority_file(const struct authority *authority)
{
  return authority->paths[0];
}

const char *authority_trust(struct authority *authority, const char *file, const struct authority *other)
{
  const char *path = add_path(authority, file);
  char temporary[128];
  snprintf(temporary, sizeof(temporary), "%s.new", path);
  FILE *out = fopen(temporary, "we");
  CHECK(out != NULL && PEM_write_X509(out, authority->certificate) == 1);
  CHECK(other == NULL || PEM_write_X509(out, other->certificate) == 1);
  CHECK(fclose(out) == 0 && rename(temporary, path) == 0);
  return path;
}

const char *authority_issue(struct authority *authority, const char *file, const char *uri, int days)
{
  return authority_issue_briefly(authority, file, uri, days * DAY_SECONDS);
}

const char *authority_issue_briefly(struct authority *authority, const char *file, const char *uri, long seconds)
{
  EVP_PKEY *key = EVP_EC_gen("P-256");
  CHECK(key != NULL);
  X509 *certificate = make_certificate(authority, key, "test", seconds);
  if (uri != NULL) {
    char names[256];
    snprintf(names, sizeof(names), "URI:%s", uri);
    add_extension(certificate, NID_subject_alt_name, names);
  }
  CHECK(X509_sign(certificate, authority->key, EVP_sha256()) > 0);
  const char *path = add_path(authority, file);
  write_file(path, certificate, key);
  X509_free(certificate);
  EVP_PKEY_free(key);
  return path;
}

const char *authority_issue_test(struct authority *authority)
{
  return authority_issue(authority, "test.pem", "bulkhead://service/test", 1);
}
