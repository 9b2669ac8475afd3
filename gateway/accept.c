#include "gateway/accept.h"

#include <stdbool.h>

// How exactly a media range names an offer.
enum fit { FIT_NONE, FIT_ANY, FIT_TYPE, FIT_EXACT };

struct preference {
  enum fit fit;
  unsigned weight;  // thousandths
};

static enum fit find_fit(struct slice range, struct slice offer)
{
  if (slice_equal(range, SLICE("*/*")))
    return FIT_ANY;
  if (slice_equal_ignore_case(range, offer))
    return FIT_EXACT;
  size_t slash = slice_find(offer, '/', 0);
  bool is_of_type = range.size == slash + 2 && range.data[slash] == '/' && range.data[slash + 1] == '*' &&
                    slice_equal_ignore_case(slice_make(range.data, slash), slice_make(offer.data, slash));
  return is_of_type ? FIT_TYPE : FIT_NONE;
}

// Reads a qvalue: "1", "0.8", with three digits behind the point at most. One that is none counts as 0.
static unsigned read_weight(struct slice text)
{
  if (text.size == 0 || text.size > 5 || (text.data[0] != '0' && text.data[0] != '1'))
    return 0;
  unsigned weight = text.data[0] == '1' ? 1000 : 0;
  if (text.size > 1 && text.data[1] != '.')
    return 0;
  unsigned scale = 100;
  for (size_t i = 2; i < text.size; i++, scale /= 10) {
    if (text.data[i] < '0' || text.data[i] > '9')
      return 0;
    weight += (unsigned)(text.data[i] - '0') * scale;
  }
  return weight > 1000 ? 0 : weight;
}

// Returns the weight that the parameters of a range give it.
static unsigned find_weight(struct slice parameters)
{
  while (parameters.size > 0) {
    size_t end = slice_find(parameters, ';', 0);
    struct slice parameter = slice_trim(slice_make(parameters.data, end));
    if (parameter.size >= 2 && (parameter.data[0] == 'q' || parameter.data[0] == 'Q') && parameter.data[1] == '=')
      return read_weight(slice_skip(parameter, 2));
    parameters = slice_skip(parameters, end + 1);
  }
  return 1000;
}

// Finds what the header says of an offer: the most exact range that fits it decides.
static struct preference find_preference(struct slice accept, struct slice offer)
{
  struct preference found = {0};
  for (struct slice rest = accept; rest.size > 0;) {
    size_t end = slice_find(rest, ',', 0);
    struct slice item = slice_make(rest.data, end);
    size_t semicolon = slice_find(item, ';', 0);
    enum fit fit = find_fit(slice_trim(slice_make(item.data, semicolon)), offer);
    if (fit > found.fit)
      found = (struct preference){fit, find_weight(slice_skip(item, semicolon + 1))};
    rest = slice_skip(rest, end + 1);
  }
  return found;
}

size_t accept_choose(struct slice accept, const struct slice *offers, size_t count)
{
  if (accept.data == NULL)
    return 0;
  size_t chosen = count;
  struct preference best = {0};
  for (size_t i = 0; i < count; i++) {
    struct preference preference = find_preference(accept, offers[i]);
    bool is_better = preference.weight > best.weight || (preference.weight == best.weight && preference.fit > best.fit);
    if (preference.weight == 0 || !is_better)
      continue;
    best = preference;
    chosen = i;
  }
  return chosen;
}
