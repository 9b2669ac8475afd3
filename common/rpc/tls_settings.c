#include "common/rpc/tls_settings_internal.h"

#include <string.h>

enum status rpc_nng_status(int code)
{
  switch (code) {
  case 0:
    return STATUS_OK;
  case NNG_EINVAL:
  case NNG_EADDRINVAL:
  case NNG_ENOTSUP:
    return STATUS_INVALID_ARGUMENT;
  case NNG_EADDRINUSE:
    return STATUS_ALREADY_EXISTS;
  case NNG_EPERM:
    return STATUS_PERMISSION_DENIED;
  case NNG_ENOENT:
  case NNG_ENOFILES:
    return STATUS_NOT_FOUND;
  case NNG_ECRYPTO:
  case NNG_EPEERAUTH:
    return STATUS_UNAUTHENTICATED;
  case NNG_ETIMEDOUT:
    return STATUS_DEADLINE_EXCEEDED;
  case NNG_EMSGSIZE:
  case NNG_ENOMEM:
    return STATUS_RESOURCE_EXHAUSTED;
  default:
    return STATUS_UNAVAILABLE;
  }
}

static bool is_tls(const char *url)
{
  return strncmp(url, "tls+", 4) == 0;
}

// Copies the host of "tls+tcp://host:port", which the certificate must name. False when `out` is too small for it.
static bool copy_host(const char *url, char *out, size_t size)
{
  const char *host = strstr(url, "://");
  if (host == NULL)
    return false;
  host += 3;
  size_t length = strcspn(host, ":/");
  if (*host == '[') {
    host++;
    length = strcspn(host, "]");
  }
  if (length == 0 || length >= size)
    return false;
  memcpy(out, host, length);
  out[length] = '\0';
  return true;
}

static int fill_tls(nng_tls_config *config, nng_tls_mode mode, const char *url, const struct rpc_tls *tls)
{
  int result = 0;
  char host[256];
  // A client always verifies the server. A server demands certificates when it has a CA to verify them with.
  bool verify = mode == NNG_TLS_MODE_CLIENT || tls->ca_file != NULL;
  result = nng_tls_config_auth_mode(config, verify ? NNG_TLS_AUTH_MODE_REQUIRED : NNG_TLS_AUTH_MODE_NONE);
  if (result == 0 && tls->ca_file != NULL)
    result = nng_tls_config_ca_file(config, tls->ca_file);
  if (result == 0 && tls->cert_key_file != NULL)
    result = nng_tls_config_cert_key_file(config, tls->cert_key_file, NULL);
  if (result == 0 && mode == NNG_TLS_MODE_CLIENT)
    result = copy_host(url, host, sizeof(host)) ? nng_tls_config_server_name(config, host) : NNG_EADDRINVAL;
  return result;
}

int rpc_tls_config_make(nng_tls_config **out, bool is_client, const char *url, const struct rpc_tls *tls)
{
  *out = NULL;
  if (!is_tls(url))
    return 0;
  nng_tls_mode mode = is_client ? NNG_TLS_MODE_CLIENT : NNG_TLS_MODE_SERVER;
  int result = nng_tls_config_alloc(out, mode);
  if (result != 0)
    return result;
  result = fill_tls(*out, mode, url, tls);
  if (result != 0) {
    nng_tls_config_free(*out);
    *out = NULL;
  }
  return result;
}
