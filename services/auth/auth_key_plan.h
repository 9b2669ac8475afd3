// Decides which signing key signs, which are published and what has to be done next: a state machine without a clock or
// a database of its own. All times are milliseconds of the database's clock, which all instances share.
//
// The life of a key:
//
//   undated      stored, and published by whoever reads it. It has no time yet from which it signs: a commit can take
//                long, so that time is set by whoever sees the key stored.
//   waiting      published, and signs from sign_ms on: a publish time later, in which every verifier fetches it.
//   signing      the latest key whose sign_ms has come.
//   superseded   still published, until the last token that it may have signed has expired.
//   removed
//
// What keeps a token of a published key from being refused: an instance signs, and tells others which keys there are,
// only by what it has read from the database less than key_plan_view_ms ago, which is half a publish time at most.
#ifndef BULKHEAD_SERVICES_AUTH_AUTH_KEY_PLAN_H
#define BULKHEAD_SERVICES_AUTH_AUTH_KEY_PLAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/security/token.h"

// The sign_ms of an undated key.
#define KEY_UNDATED INT64_MAX
// How long a key that replaces all others at once (`rotate-keys --now`) is published before it signs: every instance
// reads the keys several times meanwhile.
#define KEY_LEAD_MS 1000
// How long a superseded key is kept beyond the end of its last token: the leeway of verifiers (90 s), the longest view
// (60 s), and what clocks may differ beyond that.
#define KEY_MARGIN_MS 300000
// The most keys that rotation by time leaves, so that there is room for rotations by command.
#define KEY_PLAN_MAX_KEYS (TOKEN_MAX_KEYS - 4)

// How the instance is set.
struct key_rules {
  int64_t rotation_ms;  // a key signs for as long
  int64_t publish_ms;   // a key is published for as long before it signs
  int64_t ttl_ms;       // how long an access token is valid
};

struct key_times {
  int64_t sign_ms;
  int64_t longest_ttl_ms;  // of the tokens that it signs, over all instances that read it
};

enum key_step_kind {
  KEY_STEP_NONE,
  KEY_STEP_FIRST,    // store the first key, which signs at once: no verifier has fetched any keys before
  KEY_STEP_PUBLISH,  // store an undated key
  KEY_STEP_DATE,     // set sign_ms of a key
  KEY_STEP_REMOVE,   // remove a key
};

struct key_step {
  enum key_step_kind kind;
  size_t key;       // of DATE and REMOVE
  int64_t sign_ms;  // of DATE
};

// Orders two keys: by sign_ms, undated ones last, then by their ids.
int key_plan_compare(const struct key_times *a, const char *a_kid, const struct key_times *b, const char *b_kid);

// Returns the next step for these keys, which are in order.
struct key_step key_plan_step(const struct key_rules *rules, const struct key_times *keys, size_t count,
                              int64_t now_ms);

// Returns the key that signs; `count` while none does, which lasts for KEY_LEAD_MS after all keys were replaced at
// once.
size_t key_plan_signer(const struct key_times *keys, size_t count, int64_t now_ms);

// Returns when a key is removed; INT64_MAX while no key supersedes it.
int64_t key_plan_removal_ms(const struct key_times *keys, size_t count, size_t key);

// Returns for how long what was read from the database may be used.
int64_t key_plan_view_ms(const struct key_rules *rules);

// Tells whether rotation by time stays within KEY_PLAN_MAX_KEYS, and lets a key sign before the next is published.
bool key_plan_rules_fit(const struct key_rules *rules);

#endif
