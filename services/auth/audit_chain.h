// Chains the events of the audit log: each has a link whose hash rests on the one before, and the last one is signed.
// So whoever changes or removes an event has to change all links behind it, and cannot sign the new end.
//
// Writers of events wait for nobody: an event is chained after its commit. One instance at a time, under an advisory
// lock, takes what is pending, a batch in a transaction: the links, the signed head, and what is too old and goes. What
// is signed again was verified before: the last head, and the link that it names.
//
// A head is a JWT for the audience "audit", signed by a key that is stored for nothing else (auth_seals.h). What it
// cannot show: that the newest events were removed together with all heads that had them. For that, keep what `auth
// audit verify` prints somewhere else, and give it to a later run.
#ifndef BULKHEAD_SERVICES_AUTH_AUDIT_CHAIN_H
#define BULKHEAD_SERVICES_AUTH_AUDIT_CHAIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/arena.h"
#include "common/base/status.h"
#include "common/security/token.h"
#include "common/service/query.h"
#include "services/auth/audit_link.h"

struct auth_settings;
struct service;

struct audit_chain {
  struct service *service;
  const struct auth_settings *settings;
  struct arena memory;  // of the key, which is erased when it is freed
  struct token_signing_key key;
  struct token_verifier *verifier;
};

// Reads the key, and makes it at the first start. audit_chain_free accepts a zeroed one. May wait.
enum status audit_chain_init(struct audit_chain *chain, struct service *service, struct error *error) MUST_CHECK;
void audit_chain_free(struct audit_chain *chain);

// Reads the last head into `head`; the head of nothing where there has never been one. FAILED_PRECONDITION where it is
// not one that this service has signed.
enum status audit_chain_read_head(const struct audit_chain *chain, struct query_db db, struct arena *arena,
                                  struct audit_head *head) MUST_CHECK;

// Chains what is pending and removes what is too old, until the task is cancelled. A background task; `arg` is the
// chain.
void audit_chain_run(void *arg);

#endif
