// The tokens that go out by mail (queries/account_tokens.sql): 256 random bits as text, of which the database keeps the
// SHA-256.
#ifndef BULKHEAD_SERVICES_AUTH_ACCOUNT_TOKENS_H
#define BULKHEAD_SERVICES_AUTH_ACCOUNT_TOKENS_H

#include "common/base/arena.h"
#include "common/base/slice.h"
#include "common/base/status.h"

struct call;

// The purpose of a token that sets a new password.
#define AUTH_RESET_PURPOSE "reset_password"
// Those of tokens that confirm the address of a new account, change an address, and take a change back.
#define AUTH_VERIFY_PURPOSE "verify_email"
#define AUTH_CHANGE_PURPOSE "change_email"
#define AUTH_UNDO_PURPOSE "undo_email"

struct account_token {
  const char *text;  // base64url
  struct slice hash;
};
struct account_token account_token_new(struct arena *arena);
// Returns the SHA-256 by which the database knows a token, whether it went out by mail or as a refresh token.
struct slice account_token_hash(struct slice token, struct arena *arena);
// Fails the call of somebody whose token is none that may be used.
enum status account_token_fail(struct call *call);

#endif
