// The contracts as they are shown to those who call from outside.
#ifndef BULKHEAD_GATEWAY_PUBLIC_CONTRACTS_H
#define BULKHEAD_GATEWAY_PUBLIC_CONTRACTS_H

#include "common/base/slice.h"
#include "common/base/strbuf.h"
#include "common/contract/contract.h"

// Tells whether anybody outside may call a method of the service.
bool public_contracts_have(const struct contract_service *service);
// Adds a FileDescriptorSet: that of the contract without the methods that only services may call, without services that
// have no other, and without comments and places.
void public_contracts_write(struct slice protoset, const struct contract *contract, struct strbuf *out);

#endif
