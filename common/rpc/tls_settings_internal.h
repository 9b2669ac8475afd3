// TLS for nng's byte streams, and what nng's error codes mean here.
#ifndef BULKHEAD_RPC_TLS_SETTINGS_INTERNAL_H
#define BULKHEAD_RPC_TLS_SETTINGS_INTERNAL_H

#include <nng/nng.h>
#include <nng/supplemental/tls/tls.h>
#include <stdbool.h>

#include "common/base/status.h"
#include "common/rpc/rpc.h"

// Makes the TLS settings of a URL; NULL in `out` when the URL is not a TLS one. Returns 0 or nng's error code.
int rpc_tls_config_make(nng_tls_config **out, bool is_client, const char *url, const struct rpc_tls *tls);

// Translates an error code of nng's.
enum status rpc_nng_status(int code);

#endif
