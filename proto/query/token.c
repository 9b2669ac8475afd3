#include "proto/query/token.h"

#include <string.h>

#define MAX_TOKENS 400

// Reads SQL by PostgreSQL's lexical rules: https://www.postgresql.org/docs/15/sql-syntax-lexical.html
struct scanner {
  const struct token_place *place;
  struct tokens *tokens;
  const char *at;
  const char *end;
  const char *plain;  // the start of the SQL that belongs to no token yet
  struct slice word;  // the identifier or keyword before this one
  bool update;        // UPDATE was read; with SET behind it, it changes rows
};

static bool is_letter(char c)
{
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

static bool is_letter_or_digit(char c)
{
  return is_letter(c) || (c >= '0' && c <= '9');
}

// True for what may begin an SQL identifier: a letter, an underscore, and every character beyond ASCII.
static bool begins_identifier(char c)
{
  return is_letter(c) || ((unsigned char)c & 0x80) != 0;
}

static bool next_is(const struct scanner *scanner, const char *text)
{
  size_t size = strlen(text);
  return (size_t)(scanner->end - scanner->at) >= size && memcmp(scanner->at, text, size) == 0;
}

static void add_token(struct scanner *scanner, enum token_kind kind, const char *from, const char *to)
{
  if (from == to)
    return;
  if (scanner->tokens->count == MAX_TOKENS) {
    findings_add(scanner->place->findings, scanner->place->service, scanner->place->query, from, "it is too long");
    return;
  }
  scanner->tokens->items[scanner->tokens->count++] =
      (struct token){.kind = kind, .text = slice_make(from, (size_t)(to - from))};
}

static void end_plain(struct scanner *scanner)
{
  add_token(scanner, TOKEN_SQL, scanner->plain, scanner->at);
}

// Moves behind the closing `quote`. Doubled quotes, and with `escapes` those behind a backslash, belong to the text.
static void skip_quoted(struct scanner *scanner, char quote, bool escapes)
{
  for (scanner->at++; scanner->at < scanner->end; scanner->at++) {
    if (escapes && *scanner->at == '\\' && scanner->at + 1 < scanner->end)
      scanner->at++;
    else if (*scanner->at == quote) {
      scanner->at++;
      return;
    }
  }
}

static void skip_block_comment(struct scanner *scanner)
{
  size_t depth = 0;
  do {
    if (next_is(scanner, "/*")) {
      depth++;
      scanner->at++;
    } else if (next_is(scanner, "*/")) {
      depth--;
      scanner->at++;
    }
    scanner->at++;
  } while (depth > 0 && scanner->at < scanner->end);
}

static void skip_line_comment(struct scanner *scanner)
{
  while (scanner->at < scanner->end && *scanner->at != '\n')
    scanner->at++;
}

// Moves behind a text in dollar quotes, $tag$ ... $tag$, or behind a lone dollar.
static void skip_dollar(struct scanner *scanner)
{
  const char *tag = scanner->at++;
  while (scanner->at < scanner->end && is_letter_or_digit(*scanner->at))
    scanner->at++;
  if (scanner->at >= scanner->end || *scanner->at != '$')
    return;
  size_t size = (size_t)(++scanner->at - tag);
  while (scanner->at < scanner->end &&
         !((size_t)(scanner->end - scanner->at) >= size && memcmp(scanner->at, tag, size) == 0))
    scanner->at++;
  scanner->at = scanner->at + size < scanner->end ? scanner->at + size : scanner->end;
}

// Notes which kind of statement the words make: INSERT INTO, MERGE INTO, UPDATE ... SET.
static void note_word(struct scanner *scanner, struct slice word)
{
  bool into = slice_equal_ignore_case(word, SLICE("into"));
  bool can_insert =
      slice_equal_ignore_case(scanner->word, SLICE("insert")) || slice_equal_ignore_case(scanner->word, SLICE("merge"));
  scanner->tokens->inserts |= into && can_insert;
  scanner->update |= slice_equal_ignore_case(word, SLICE("update"));
  scanner->tokens->updates |= scanner->update && slice_equal_ignore_case(word, SLICE("set"));
  scanner->word = word;
}

// Moves behind an identifier, which may hold dollars. An E in front of a quote is no identifier: it begins a text in
// which a backslash escapes.
static void skip_identifier(struct scanner *scanner)
{
  const char *begin = scanner->at;
  while (scanner->at < scanner->end &&
         (begins_identifier(*scanner->at) || is_letter_or_digit(*scanner->at) || *scanner->at == '$'))
    scanner->at++;
  bool escapes = scanner->at - begin == 1 && (*begin == 'e' || *begin == 'E');
  if (escapes && next_is(scanner, "'"))
    skip_quoted(scanner, '\'', true);
  else
    note_word(scanner, slice_make(begin, (size_t)(scanner->at - begin)));
}

static void read_parameter(struct scanner *scanner)
{
  end_plain(scanner);
  const char *name = ++scanner->at;
  while (scanner->at < scanner->end &&
         (is_letter_or_digit(*scanner->at) ||
          (*scanner->at == '.' && scanner->at + 1 < scanner->end && is_letter(scanner->at[1]))))
    scanner->at++;
  add_token(scanner, TOKEN_PARAM, name, scanner->at);
  if (scanner->at < scanner->end && *scanner->at == '?') {
    if (scanner->tokens->count > 0)
      scanner->tokens->items[scanner->tokens->count - 1].nullable = true;
    scanner->at++;
  }
  scanner->plain = scanner->at;
}

static void read_hole(struct scanner *scanner)
{
  end_plain(scanner);
  const char *name = ++scanner->at;
  while (scanner->at < scanner->end && is_letter_or_digit(*scanner->at))
    scanner->at++;
  if (scanner->at == scanner->end || *scanner->at != '}' || scanner->at == name)
    findings_add(scanner->place->findings, scanner->place->service, scanner->place->query, name,
                 "a fragment is used as {name}");
  add_token(scanner, TOKEN_HOLE, name, scanner->at);
  if (scanner->at < scanner->end)
    scanner->at++;
  scanner->plain = scanner->at;
}

static bool is_parameter(const struct scanner *scanner)
{
  return *scanner->at == ':' && scanner->at + 1 < scanner->end && is_letter(scanner->at[1]);
}

static void read_next(struct scanner *scanner)
{
  char c = *scanner->at;
  if (begins_identifier(c))
    skip_identifier(scanner);
  else if (c == '\'' || c == '"')
    skip_quoted(scanner, c, false);
  else if (next_is(scanner, "--"))
    skip_line_comment(scanner);
  else if (next_is(scanner, "/*"))
    skip_block_comment(scanner);
  else if (c == '$')
    skip_dollar(scanner);
  else if (next_is(scanner, "::"))
    scanner->at += 2;
  else if (is_parameter(scanner))
    read_parameter(scanner);
  else if (c == '{')
    read_hole(scanner);
  else
    scanner->at++;
}

static const char *skip_space(const char *at, const char *end)
{
  while (at < end && (*at == ' ' || *at == '\t' || *at == '\n' || *at == '\r'))
    at++;
  return at;
}

// True where the next query or fragment begins, so that a semicolon is missing.
static bool is_next_head(const struct scanner *scanner, const char *begin)
{
  return (scanner->at == begin || scanner->at[-1] == '\n') &&
         (next_is(scanner, "-- name:") || next_is(scanner, "-- fragment:"));
}

static void end_without_semicolon(struct scanner *scanner)
{
  const struct token_place *place = scanner->place;
  const char *last = scanner->at - (scanner->at > scanner->plain ? 1 : 0);
  while (last > scanner->plain && (*last == '\n' || *last == ' '))
    last--;
  if (last > scanner->plain)
    findings_add(place->findings, place->service, place->query, last, "the statement does not end with a semicolon");
}

struct slice tokens_read(struct slice text, struct tokens *tokens, const struct token_place *place)
{
  tokens->items = arena_array(place->arena, MAX_TOKENS, sizeof(*tokens->items));
  tokens->count = 0;
  tokens->inserts = tokens->updates = false;
  struct scanner scanner = {.place = place, .tokens = tokens, .end = text.data + text.size};
  const char *begin = skip_space(text.data, scanner.end);
  scanner.at = scanner.plain = begin;
  while (scanner.at < scanner.end && *scanner.at != ';' && !is_next_head(&scanner, begin))
    read_next(&scanner);
  if (scanner.at < scanner.end && *scanner.at != ';')
    end_without_semicolon(&scanner);
  end_plain(&scanner);
  if (scanner.at < scanner.end && *scanner.at == ';')
    scanner.at++;
  return slice_make(scanner.at, (size_t)(scanner.end - scanner.at));
}
