// The audit log: what was done that matters to security, by whom, to what, from where. Rows are only ever added
// (migrations/): the service's role may neither change nor remove one. audit_chain.h makes visible what somebody with
// more rights has changed.
//
//   status = audit_add(call, query_in(tx), &(struct audit_entry){.action = "password.change", .user_id = user_id});
//
// audit_actions.def lists the actions.
#ifndef BULKHEAD_SERVICES_AUTH_AUDIT_H
#define BULKHEAD_SERVICES_AUTH_AUDIT_H

#include <stdbool.h>

#include "common/base/status.h"
#include "common/service/query.h"

struct call;

// Where an event came from that a job records later. Texts are not NULL.
struct audit_origin {
  const char *address;
  const char *user_agent;
  const char *trace_id;
};

// An event. Texts that are NULL stand for what the comment says, or for nothing. None may be a secret, and the address
// of an account is none to be written here either.
struct audit_entry {
  const char *action;                 // one of audit_actions.def
  bool by_command;                    // an operator has done it at the service's command line
  bool failed;                        // somebody has tried, and it was refused
  const char *reason;                 // why it failed, or how it was done: "WRONG_CREDENTIALS", "by mail"
  const char *actor_id;               // who did it; NULL: the caller
  const char *user_id;                // the account that it is about, whose owner sees it among his own events
  const char *target_id;              // what it was done to; NULL: the account
  const char *session_id;             // NULL: the caller's
  const struct audit_origin *origin;  // NULL: the call's
  const char *account_hash;           // stands for an address that may have no account (auth_devices_account)
};

// Adds an event to the log, in the transaction or statement `db`: where it fails, so must what it tells of. `call` says
// who acts and from where; NULL in commands and jobs.
enum status audit_add(struct call *call, struct query_db db, const struct audit_entry *entry) MUST_CHECK;
// Adds an event of a failure by itself. A log line says where that could not be done: the call fails anyway.
void audit_add_failure(struct call *call, const struct audit_entry *entry);

// Refuses a request for events of an unknown action. "" stands for any action.
enum status audit_check_action(struct call *call, const char *action) MUST_CHECK;

#endif
