// What sessions, and what else a user names, are called. A name is shown to its user, in a browser and in mails.
#ifndef BULKHEAD_SERVICES_AUTH_SESSION_NAMES_H
#define BULKHEAD_SERVICES_AUTH_SESSION_NAMES_H

#include "common/base/arena.h"
#include "common/base/status.h"

struct call;

// Fails the call with INVALID_ARGUMENT and a violation of `field` where the name that it holds, a line of valid UTF-8,
// has characters that are invisible or change the text's direction.
enum status session_check_name(struct call *call, const char *field, const char *name) MUST_CHECK;
// Makes a name of a User-Agent, which may be any text: its plain characters, 128 at most.
const char *session_name_of_agent(const char *agent, struct arena *arena);

#endif
