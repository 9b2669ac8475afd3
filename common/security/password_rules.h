// Which passwords may be chosen (NIST SP 800-63B-4, section 3.1.1.2): long enough, not made of what is known about the
// account, not among those that are tried first, not easily guessed (zxcvbn). There are no rules about kinds of
// characters. Judging takes milliseconds at worst: call it in the thread pool. Passwords that are set stay valid
// whatever the rules become.
#ifndef BULKHEAD_SECURITY_PASSWORD_RULES_H
#define BULKHEAD_SECURITY_PASSWORD_RULES_H

#include <stdbool.h>
#include <stddef.h>

#include "common/base/slice.h"

struct password_rules {
  size_t min_code_points;              // where the password is the only factor
  size_t min_code_points_with_factor;  // where a second factor is asked for as well
  const char *product;                 // the product's name; NULL or "" for none
};

// Whose password it is; NULL and "" stand for what is not known.
struct password_owner {
  const char *email;
  const char *display_name;
  bool has_second_factor;
};

enum password_fault {
  PASSWORD_GOOD,
  PASSWORD_NOT_TEXT,  // no UTF-8, or a code point that is unassigned or a control
  PASSWORD_TOO_SHORT,
  PASSWORD_TOO_LONG,
  PASSWORD_FROM_ACCOUNT,  // little else than e-mail address, name and product
  PASSWORD_COMMON,
  PASSWORD_GUESSABLE,
  PASSWORD_UNJUDGED,  // not enough memory
  PASSWORD_FAULT_COUNT
};

struct password_verdict {
  enum password_fault fault;
  size_t found;  // code points, of a password that is good, too short or too long
  size_t bound;  // how many are needed or accepted
};

struct password_verdict password_judge(struct slice password, const struct password_rules *rules,
                                       const struct password_owner *owner);

// The stable name of a fault, for programs: "PASSWORD_TOO_SHORT". NULL for what is none of the password's.
const char *password_fault_reason(enum password_fault fault);
#define PASSWORD_EXPLANATION_SIZE 256
// Writes what is wrong and how to cure it, for people; it follows the name of a field: "has 9 characters; ...".
void password_explain(const struct password_verdict *verdict, char out[PASSWORD_EXPLANATION_SIZE]);

#endif
