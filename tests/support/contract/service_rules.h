// What a service has of a contract, made at run time: the descriptors that protoc-c would write and the tables of rules
// that protoc-gen-bulkhead would write. Google's types, FieldMask apart, and messages that hold themselves are not
// supported.
#ifndef BULKHEAD_TESTS_SUPPORT_CONTRACT_SERVICE_RULES_H
#define BULKHEAD_TESTS_SUPPORT_CONTRACT_SERVICE_RULES_H

#include "common/base/arena.h"
#include "common/contract/contract.h"
#include "common/contract/validate.h"

// Makes the rules of a message and of every message inside it, in memory of `arena`.
const struct message_rules *service_rules_make(const struct contract_message *message, struct arena *arena);

#endif
