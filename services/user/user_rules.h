// Rules of accounts that the contract cannot say. Pure: no I/O, no state.
#ifndef BULKHEAD_SERVICES_USER_USER_RULES_H
#define BULKHEAD_SERVICES_USER_USER_RULES_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/arena.h"
#include "services/user/user_repo.h"
#include "user/v1/user.pb-c.h"

// As item_rules_merge: the path that names no field of a user, or NULL.
const char *user_rules_merge(User__V1__User *user, const User__V1__User *change,
                             const Google__Protobuf__FieldMask *mask);

// Page tokens of ListUsers: the place of the last account of a page.
const char *user_rules_write_token(const User__V1__User *last, struct arena *arena);
bool user_rules_read_token(const char *token, struct arena *arena, struct user_place *place);

#endif
