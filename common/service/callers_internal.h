// Private to common/service: who the user behind a call is. The user's token comes with the call, and this service
// verifies it with the public keys of the service that has issued it. Those are fetched over RPC, set by the issuer
// itself, or read from a file.
#ifndef BULKHEAD_SERVICE_CALLERS_INTERNAL_H
#define BULKHEAD_SERVICE_CALLERS_INTERNAL_H

#include <stdbool.h>

#include "common/base/status.h"
#include "common/identity/keys.h"
#include "common/runtime/loop.h"

// How much longer than the gateway this service takes a token, so that one which was good when the call began is good
// at its later hops. Calls of up to this long never meet an expired token. Longer ones may (options.proto, timeout_ms):
// no service's word about when a call began is taken instead, because one that is compromised would use old tokens by
// it. The same holds for the age of a login.
#define CALLERS_EXTRA_LEEWAY_S 60

struct call;
struct common_settings;
struct rpc_client;
struct service;

struct callers {
  struct loop *loop;  // NULL before callers_open
  struct token_verifier *verifier;
  struct backend backend;
  bool fetches;   // the keys come by `keys`
  bool is_fixed;  // the keys were read from a file and stay
  struct keys keys;
  struct loop_timer *timer;
  uint64_t armed_us;  // when `timer` fires
  struct loop_hook hook;
};

// Makes the verifier of access tokens, without keys. The caller frees it.
struct token_verifier *callers_make_verifier(const struct common_settings *common);
// Makes the verifier of a service whose RPC client is open, and starts to fetch keys where it has to.
enum status callers_open(struct callers *callers, struct service *service, struct error *error) MUST_CHECK;
// Closes what was opened, before the RPC client is freed. Accepts one that was not opened.
void callers_close(struct callers *callers);

// Returns whether the service verifies tokens: it fetches their keys, or has some.
bool callers_need_keys(const struct callers *callers);
// Returns whether tokens can be verified.
bool callers_know_keys(const struct callers *callers);

enum callers_result {
  CALLERS_OK,       // the user is known, or the call has none
  CALLERS_WAIT,     // a key is not known yet: callers_wait, then ask again
  CALLERS_REFUSED,  // call_fail has said why
};
// Verifies the token of a call and notes whose it is in the call's context. `waited` is NULL the first time; the answer
// for a call that has waited is final.
enum callers_result callers_identify(struct callers *callers, struct call *call,
                                     const struct key_wait *waited) MUST_CHECK;
// Waits until keys have been fetched, one second at most, and notes in `wait` since when. Must be called from a task,
// after CALLERS_WAIT.
enum status callers_wait(struct callers *callers, struct key_wait *wait) MUST_CHECK;

#endif
