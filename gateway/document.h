// The OpenAPI document of the gateway's API: what the contracts say, and the problems that the gateway itself answers
// with.
#ifndef BULKHEAD_GATEWAY_DOCUMENT_H
#define BULKHEAD_GATEWAY_DOCUMENT_H

#include "common/base/strbuf.h"
#include "common/contract/contract.h"

// Appends the OpenAPI document of the contract to `out`, as JSON.
void document_write(const struct contract *contract, struct strbuf *out);

#endif
