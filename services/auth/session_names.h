// What sessions are called. A name is shown to its user, in a browser and in mails.
#ifndef BULKHEAD_SERVICES_AUTH_SESSION_NAMES_H
#define BULKHEAD_SERVICES_AUTH_SESSION_NAMES_H

#include <stdbool.h>

#include "common/base/arena.h"

// Whether a line of valid UTF-8 holds no character that is invisible or changes the direction of the text around it.
bool session_name_is_plain(const char *name);
// Makes a name of a User-Agent, which may be any text: its plain characters, 128 at most.
const char *session_name_of_agent(const char *agent, struct arena *arena);

#endif
