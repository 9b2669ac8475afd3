// A client that has nothing to do with what a test attacks the gateway with. It reads one item, steadily, from
// 127.0.0.1, every other time at a new connection. What it sees during an attack is compared with what it saw before.
// Attacks come from other addresses, such as 127.0.0.2 to 127.0.0.5.
#ifndef BULKHEAD_TESTS_SUPPORT_BYSTANDER_H
#define BULKHEAD_TESTS_SUPPORT_BYSTANDER_H

#include <stddef.h>
#include <stdint.h>

#include "tests/support/http.h"

struct bystander;

struct bystander_seen {
  size_t requests;
  size_t succeeded;
  uint64_t p50_us;
  uint64_t p99_us;
  uint64_t longest_us;
  const char *first_failure;  // NULL where all succeeded
};

// Starts the client on a thread of its own and watches it for a while without an attack. `account` needs a token that
// stays valid. The gateway must be healthy.
struct bystander *bystander_start(const struct account *account);
// Starts one that reads at another gateway than that of BULKHEAD_URL.
struct bystander *bystander_start_at(const struct account *account, const char *base_url);
// Begins to count for the attack. Call it right before the attack begins.
void bystander_attacked(struct bystander *bystander);
// Waits until the client has made `requests` more. It makes some 150 a second while nothing holds it up.
void bystander_await(struct bystander *bystander, size_t requests);
// Stops the client and prints one line: what it saw since bystander_attacked, beside the calm, and how many times as
// large the p99 has become. Asserts that all requests have succeeded, each within five seconds. Returns
// what it saw during the attack.
struct bystander_seen bystander_assert_unharmed(struct bystander **bystander, const char *attack);

#endif
