// Parses path templates by recursive descent. One level is enough, because a variable holds segments but no further
// variable.
#include "common/contract/path_template.h"

struct parser {
  struct slice text;
  size_t at;
  struct path_template *out;
};

static char peek(const struct parser *parser)
{
  return parser->at < parser->text.size ? parser->text.data[parser->at] : '\0';
}

static bool take(struct parser *parser, char byte)
{
  if (peek(parser) != byte)
    return false;
  parser->at++;
  return true;
}

// Whether a literal of a template may hold the byte: RFC 3986's pchar without the colon, which begins a verb, and
// without '%', because literals are compared decoded.
static bool is_literal_byte(char byte)
{
  char letter = (char)(byte | 0x20);
  return (letter >= 'a' && letter <= 'z') || (byte >= '0' && byte <= '9') ||
         (byte != '\0' && strchr("-._~!$&'()+,;@", byte) != NULL);
}

static bool is_field_byte(char byte)
{
  char letter = (char)(byte | 0x20);
  return (letter >= 'a' && letter <= 'z') || (byte >= '0' && byte <= '9') || byte == '_' || byte == '.';
}

static struct slice take_while(struct parser *parser, bool (*accepts)(char byte))
{
  size_t start = parser->at;
  while (parser->at < parser->text.size && accepts(parser->text.data[parser->at]))
    parser->at++;
  return slice_make(parser->text.data + start, parser->at - start);
}

static const char *parse_plain_segment(struct parser *parser)
{
  struct path_template *out = parser->out;
  if (out->segment_count == TEMPLATE_MAX_SEGMENTS)
    return "it has too many segments";
  enum segment_kind kind = SEGMENT_LITERAL;
  struct slice literal = {0};
  if (take(parser, '*')) {
    kind = take(parser, '*') ? SEGMENT_REST : SEGMENT_ANY;
    if (kind == SEGMENT_REST && out->rest != TEMPLATE_NO_REST)
      return "it has ** twice, so a path could be divided between them in several ways";
    if (kind == SEGMENT_REST)
      out->rest = out->segment_count;
  } else {
    literal = take_while(parser, is_literal_byte);
    if (literal.size == 0)
      return "a segment is empty or has a character that is not allowed";
  }
  out->segments[out->segment_count].kind = kind;
  out->segments[out->segment_count++].literal = literal;
  return NULL;
}

static const char *parse_variable(struct parser *parser)
{
  struct path_template *out = parser->out;
  if (out->variable_count == CONTRACT_MAX_VARIABLES)
    return "it has too many variables";
  struct template_variable *variable = &out->variables[out->variable_count++];
  *variable =
      (struct template_variable){.field = take_while(parser, is_field_byte), .first_segment = out->segment_count};
  if (variable->field.size == 0)
    return "a variable has no name";
  const char *problem = NULL;
  if (take(parser, '=')) {
    do
      problem = parse_plain_segment(parser);
    while (problem == NULL && take(parser, '/'));
  } else {
    static const struct slice ANY = SLICE_INIT("*");
    struct parser any = {.text = ANY, .out = out};
    problem = parse_plain_segment(&any);
  }
  if (problem != NULL)
    return problem;
  if (!take(parser, '}'))
    return "a variable has no closing brace";
  variable->end_segment = out->segment_count;
  variable->multi_segment = variable->end_segment - variable->first_segment != 1 ||
                            out->segments[variable->first_segment].kind == SEGMENT_REST;
  return NULL;
}

const char *path_template_parse(struct slice text, struct path_template *out)
{
  struct parser parser = {.text = text, .out = out};
  *out = (struct path_template){.rest = TEMPLATE_NO_REST};
  if (!take(&parser, '/'))
    return "it must begin with /";
  do {
    const char *problem = take(&parser, '{') ? parse_variable(&parser) : parse_plain_segment(&parser);
    if (problem != NULL)
      return problem;
  } while (take(&parser, '/'));
  if (take(&parser, ':')) {
    out->verb = take_while(&parser, is_literal_byte);
    if (out->verb.size == 0)
      return "its verb is empty";
  }
  return parser.at == text.size ? NULL : "it has a character that is not allowed";
}
