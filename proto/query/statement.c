#include "proto/query/statement.h"

#include "proto/query/resolve.h"
#include "proto/query/types.h"

#define MAX_PIECES 1000

struct maker {
  const struct service_source *service;
  const struct query_source *query;
  struct page_choice choice;
  struct strbuf sql;
  struct piece *pieces;
  size_t piece_count;
  size_t next_parameter;  // the number of the next parameter that a choice of a page adds
  size_t filter_parameter;
};

size_t statement_count(const struct query_source *query)
{
  return query->rows == ROWS_PAGE ? 4 * query->order_count << query->filter_count : 1;
}

struct page_choice statement_choice(const struct query_source *query, size_t index)
{
  size_t filters = (size_t)1 << query->filter_count;
  return (struct page_choice){
      .filters = (unsigned)(index % filters),
      .after = index / filters % 2 == 1,
      .descending = index / filters / 2 % 2 == 1,
      .order = index / filters / 4,
  };
}

static void add_piece(struct maker *maker, const char *source)
{
  if (maker->piece_count < MAX_PIECES)
    maker->pieces[maker->piece_count++] = (struct piece){.at = maker->sql.size, .source = source};
}

static void add_tokens(struct maker *maker, const struct tokens *tokens);

static const struct order *order_of(const struct maker *maker)
{
  return &maker->query->orders[maker->choice.order];
}

static void add_place(struct maker *maker)
{
  const struct order *order = order_of(maker);
  add_piece(maker, order->at.data);
  strbuf_add_byte(&maker->sql, '(');
  add_tokens(maker, &order->expression);
  strbuf_printf(&maker->sql, ", " SLICE_FMT ") %c (", SLICE_ARG(order->id), maker->choice.descending ? '<' : '>');
  if (type_is_time(order->type))
    strbuf_printf(&maker->sql, "timestamptz 'epoch' + $%zu::bigint * interval '1 microsecond'",
                  maker->next_parameter++);
  else
    strbuf_printf(&maker->sql, "$%zu::%s", maker->next_parameter++, type_name(order->type));
  strbuf_printf(&maker->sql, ", $%zu::uuid)", maker->next_parameter++);
}

// Adds a filter's condition in parentheses, because an OR in it must not reach the conditions around it.
static void add_condition(struct maker *maker, const struct tokens *condition)
{
  strbuf_add_byte(&maker->sql, '(');
  add_tokens(maker, condition);
  add_piece(maker, condition->items[0].text.data);
  strbuf_add_byte(&maker->sql, ')');
}

static void add_filters(struct maker *maker)
{
  const char *link = "";
  for (size_t i = 0; i < maker->query->filter_count; i++) {
    if ((maker->choice.filters & 1u << i) == 0)
      continue;
    strbuf_add_string(&maker->sql, link);
    link = " AND ";
    maker->filter_parameter = maker->next_parameter++;
    add_condition(maker, &maker->query->filters[i].condition);
  }
  if (maker->choice.after) {
    strbuf_add_string(&maker->sql, link);
    add_place(maker);
  } else if (link[0] == '\0') {
    strbuf_add_string(&maker->sql, "true");
  }
}

static void add_order(struct maker *maker)
{
  const char *direction = maker->choice.descending ? "DESC" : "ASC";
  add_piece(maker, order_of(maker)->at.data);
  add_tokens(maker, &order_of(maker)->expression);
  strbuf_printf(&maker->sql, " %s, " SLICE_FMT " %s", direction, SLICE_ARG(order_of(maker)->id), direction);
}

static void add_hole(struct maker *maker, struct slice name)
{
  if (!resolve_is_page_hole(maker->query, name))
    add_tokens(maker, &resolve_fragment(maker->service, name)->body);
  else if (slice_equal_string(name, "filters"))
    add_filters(maker);
  else if (slice_equal_string(name, "order"))
    add_order(maker);
  else
    strbuf_printf(&maker->sql, "$%zu::bigint", maker->next_parameter++);
}

static void add_tokens(struct maker *maker, const struct tokens *tokens)
{
  for (size_t i = 0; i < tokens->count; i++) {
    const struct token *token = &tokens->items[i];
    const struct parameter *parameter = resolve_parameter(maker->query, token);
    add_piece(maker, token->text.data);
    if (token->kind == TOKEN_SQL)
      strbuf_add(&maker->sql, token->text);
    else if (token->kind == TOKEN_HOLE)
      add_hole(maker, token->text);
    else if (parameter != NULL)
      strbuf_printf(&maker->sql, "$%zu", (size_t)(parameter - maker->query->parameters) + 1);
    else
      strbuf_printf(&maker->sql, "$%zu", maker->filter_parameter);
  }
}

static const char *name_of(const struct query_source *query, const struct page_choice *choice, struct arena *arena)
{
  if (query->rows != ROWS_PAGE)
    return arena_printf(arena, "%s_" SLICE_FMT, query->service, SLICE_ARG(query->name));
  return arena_printf(arena, "%s_" SLICE_FMT "_%s_%s_%u", query->service, SLICE_ARG(query->name),
                      query->orders[choice->order].field->name, choice->descending ? "desc" : "asc",
                      choice->filters | (choice->after ? 1u << query->filter_count : 0));
}

struct statement statement_make(const struct service_source *service, const struct query_source *query, size_t index,
                                struct arena *arena)
{
  struct maker maker = {
      .service = service,
      .query = query,
      .choice = statement_choice(query, index),
      .pieces = arena_array(arena, MAX_PIECES, sizeof(struct piece)),
      .next_parameter = query->parameter_count + 1,
  };
  strbuf_init(&maker.sql, 0);
  add_tokens(&maker, &query->body);
  struct statement statement = {
      .name = name_of(query, &maker.choice, arena),
      .sql = arena_string(arena, slice_trim(strbuf_slice(&maker.sql))),
      .pieces = maker.pieces,
      .piece_count = maker.piece_count,
  };
  strbuf_free(&maker.sql);
  return statement;
}

const char *statement_source(const struct statement *statement, size_t at)
{
  const struct piece *piece = &statement->pieces[0];
  for (size_t i = 0; i < statement->piece_count && statement->pieces[i].at <= at; i++)
    piece = &statement->pieces[i];
  return piece->source + (at - piece->at);
}
