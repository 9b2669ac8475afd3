-- Filters and orders that clients may ask for and that no list has, and the other way round.

-- name: ignores :page
-- row: item.v1.Item
-- request: thing.v1.ListColouredThingsRequest
-- response: item.v1.ListItemsResponse
-- page: 50
-- order name: name, id
-- order createTime: create_time, id
-- default: name asc
SELECT id, name, create_time FROM things WHERE {filters} ORDER BY {order} LIMIT {limit};

-- name: misspelt :page
-- row: item.v1.Item
-- request: thing.v1.ListThingsRequest
-- response: item.v1.ListItemsResponse
-- without categories: a list of this service has no categories
-- without category:
-- without page_size: every page has 50 rows
-- page: 50
-- order name: name, id
-- default: name asc
SELECT id, name FROM things WHERE {filters} ORDER BY {order} LIMIT {limit};

-- name: needless :page
-- row: item.v1.Item
-- request: thing.v1.ListThingsRequest
-- response: item.v1.ListItemsResponse
-- without category: it filters all the same
-- page: 50
-- filter category: note = :category
-- order name: name, id
-- default: name asc
SELECT id, name FROM things WHERE {filters} ORDER BY {order} LIMIT {limit};

-- The queries below are right.

-- name: uses_all :page
-- row: item.v1.Item
-- request: thing.v1.ListColouredThingsRequest
-- response: item.v1.ListItemsResponse
-- page: 50
-- filter colour: note = :colour
-- order quantity: size, id
-- default: quantity desc
-- The orders of the request are those of all its lists.
SELECT id, name, size::int AS quantity FROM things WHERE size >= :least_size AND {filters} ORDER BY {order} LIMIT {limit};

-- name: says_why :page
-- row: item.v1.Item
-- request: thing.v1.ListColouredThingsRequest
-- response: item.v1.ListItemsResponse
-- without colour: the handler asks uses_all where the request has a colour
-- without least_size: as colour
-- page: 50
-- order createTime: create_time, id
-- default: createTime desc
-- A default order need not be one that clients can name.
SELECT id, name, create_time FROM things WHERE {filters} ORDER BY {order} LIMIT {limit};
