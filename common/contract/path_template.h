// Private to this folder: a google.api.http path template, taken apart.
//   Template = "/" Segments [ ":" Verb ];  Segment = "*" | "**" | LITERAL | "{" Field [ "=" Segments ] "}"
#ifndef BULKHEAD_CONTRACT_PATH_TEMPLATE_H
#define BULKHEAD_CONTRACT_PATH_TEMPLATE_H

#include "common/contract/contract.h"

#define TEMPLATE_MAX_SEGMENTS 32u

enum segment_kind { SEGMENT_LITERAL, SEGMENT_ANY, SEGMENT_REST };

struct template_variable {
  struct slice field;  // "item.id"
  // The segments of the variable are [first_segment, end). A variable that ends in "**" has the end of the path as its
  // end.
  size_t first_segment;
  size_t end_segment;
  bool multi_segment;
};

struct path_template {
  struct {
    enum segment_kind kind;
    struct slice literal;
  } segments[TEMPLATE_MAX_SEGMENTS];
  size_t segment_count;
  struct template_variable variables[CONTRACT_MAX_VARIABLES];
  size_t variable_count;
  struct slice verb;  // the text behind the colon; NULL data where the path has no verb
};

// Parses a template; the slices in `out` are views into `text`. Returns NULL, or a static sentence that says what is
// wrong.
const char *path_template_parse(struct slice text, struct path_template *out);

#endif
