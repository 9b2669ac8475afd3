-- What has become of items lately (migration 0004).

-- name: find_changes_bounds :one
-- not null: settled, next, kept_clock
-- scan: item_changes_kept has one row
-- Tells where the changes begin that may be missing yet (every transaction before :settled has ended), the number of the
-- next transaction, and the last change that was removed because of its age. A change that is ahead of the server has come
-- with a dump of another one, and counts for nothing.
SELECT pg_snapshot_xmin(now)::text::bigint AS settled, pg_snapshot_xmax(now)::text::bigint AS next,
  CASE WHEN clock < pg_snapshot_xmax(now)::text::bigint THEN clock ELSE 0 END AS kept_clock, id AS kept_id
FROM item_changes_kept, pg_current_snapshot() AS now;

-- name: list_changes :many
-- not null: settled, next, kept_clock, kept_id, waiting
-- scan: item_changes_kept has one row
-- Lists the first :most settled changes after (:after_clock, :after_change). There is always a row; without a change,
-- only the bounds are set. `waiting` tells that there are changes which are not settled yet.
SELECT s.settled, s.next, CASE WHEN k.clock < s.next THEN k.clock ELSE 0 END AS kept_clock, k.id AS kept_id,
  coalesce((SELECT max(clock) FROM item_changes WHERE clock < s.next) >= s.settled, false) AS waiting,
  c.clock, c.id, c.kind::bigint, c.item_id, c.owner_id, c.revision, c.old_category, c.old_tags, c.time
FROM (SELECT pg_snapshot_xmin(now)::text::bigint AS settled, pg_snapshot_xmax(now)::text::bigint AS next
      FROM pg_current_snapshot() AS now) AS s
CROSS JOIN item_changes_kept AS k
LEFT JOIN LATERAL (
  SELECT * FROM item_changes WHERE (clock, id) > (:after_clock::bigint, :after_change::bigint) AND clock < s.settled
  ORDER BY clock, id LIMIT :most::bigint
) AS c ON true
ORDER BY c.clock, c.id;

-- name: list_changed :many
-- row: item.v1.Item
-- The items that have changed, as they are now, in no order; those that are gone are left out.
SELECT id, owner_id, sku, name, description, category, tags, price, currency, quantity, attributes, revision AS etag,
  create_time, update_time
FROM items WHERE id = ANY (:ids::uuid[]);

-- name: sweep_changes :one
-- not null: removed
-- scan: item_changes_kept has one row
-- Removes the first :most changes as far as they are older than :keep_ms. NOT_FOUND where there is none, and where
-- another instance is at it.
WITH turn AS MATERIALIZED (SELECT one FROM item_changes_kept FOR UPDATE SKIP LOCKED),
first AS MATERIALIZED (
  SELECT clock, id, bool_and(time < now() - :keep_ms::bigint * interval '1 millisecond')
    OVER (ORDER BY clock, id) AS expired
  FROM turn, LATERAL (
    SELECT clock, id, time FROM item_changes
    WHERE clock < pg_snapshot_xmin(pg_current_snapshot())::text::bigint
    ORDER BY clock, id LIMIT :most::bigint
  ) AS f
), gone AS (
  DELETE FROM item_changes AS c USING first AS f WHERE f.expired AND c.clock = f.clock AND c.id = f.id
  RETURNING c.clock, c.id
), last AS (
  SELECT clock, id, count(*) OVER () AS removed FROM gone ORDER BY clock DESC, id DESC LIMIT 1
)
UPDATE item_changes_kept AS k SET clock = last.clock, id = last.id FROM last RETURNING last.removed;
