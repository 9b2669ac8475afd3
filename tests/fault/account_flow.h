// What a client does with an account while services are killed: it signs up, sets a new password by mail, changes its
// address or its password, or deletes the account. A request that was not answered, or with 429, 503 or 504, is sent
// again with its Idempotency-Key until it is answered, unless the client gives up.
#ifndef BULKHEAD_TESTS_FAULT_ACCOUNT_FLOW_H
#define BULKHEAD_TESTS_FAULT_ACCOUNT_FLOW_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#include "tests/fault/mail_ledger.h"
#include "tests/support/http.h"

struct account_client {
  struct account account;    // as it was before; of a sign-up the address and the password that it asks for
  const char *new_email;     // what it asks for
  const char *new_password;  // what it asks for
  bool gives_up;             // stops after the first failed request, as a client that is closed
  size_t requests;           // that were sent
  size_t repeats;            // of them, those that had been sent before
  size_t mails_asked;        // requests of the first step, each of which may cause a mail
  bool mail_is_due;          // the first step was acknowledged, and a mail with a link must come
  bool done;                 // the last step was acknowledged
  bool happened;             // it was, or turned out to have been done; set by `judge`
  const char *fault;         // what no client should see; NULL
  atomic_bool has_mail;      // the link has come
  atomic_bool ended;
};

struct account_flow {
  const char *name;
  unsigned mails;  // that it causes; where there are two, the first one has a link that the client follows
  // Makes what the client begins with, in calm.
  void (*prepare)(struct account_client *client);
  // The client, on a thread of its own.
  void (*run)(struct account_client *client);
  // Compares the final state, once all jobs are done, with the acknowledgements. Returns a description of the first
  // fault, or NULL.
  const char *(*judge)(struct account_client *client);
  // Does the same for mails; runs after `judge`.
  const char *(*judge_mails)(const struct account_client *client, const struct mail_ledger *mails);
};

enum { ACCOUNT_FLOWS = 5 };
extern const struct account_flow account_flows[ACCOUNT_FLOWS];

#endif
