// Private to this folder: a google.api.http path template, taken apart.
//   Template = "/" Segments [ ":" Verb ];  Segment = "*" | "**" | LITERAL | "{" Field [ "=" Segments ] "}"
// "**" stands for any number of segments, also none, wherever it is. A template has one at most: of two nobody could
// tell which segments of a path belong to which.
#ifndef BULKHEAD_CONTRACT_PATH_TEMPLATE_H
#define BULKHEAD_CONTRACT_PATH_TEMPLATE_H

#include "common/contract/contract.h"

#define TEMPLATE_MAX_SEGMENTS 32u
// The place of the "**" in a template that has none: behind every segment.
#define TEMPLATE_NO_REST SIZE_MAX

enum segment_kind { SEGMENT_LITERAL, SEGMENT_ANY, SEGMENT_REST };

struct template_variable {
  struct slice field;  // "item.id"
  // The segments of the template that are the variable's: [first_segment, end_segment).
  size_t first_segment;
  size_t end_segment;
  bool multi_segment;  // its value may hold slashes
};

struct path_template {
  struct {
    enum segment_kind kind;
    struct slice literal;
  } segments[TEMPLATE_MAX_SEGMENTS];
  size_t segment_count;
  size_t rest;  // the place of "**" among the segments
  struct template_variable variables[CONTRACT_MAX_VARIABLES];
  size_t variable_count;
  struct slice verb;  // the text behind the colon; NULL data where the path has no verb
};

// Parses a template; the slices in `out` are views into `text`. Returns NULL, or a static sentence that says what is
// wrong.
const char *path_template_parse(struct slice text, struct path_template *out);

#endif
