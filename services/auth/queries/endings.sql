-- What has ended before its access tokens have expired.

-- name: list_endings :many
-- not null: horizon, now_s
-- Lists what transactions from :since on have written, the newest :most. `horizon` is where the next list goes on: every
-- transaction before it has ended. There is always a row; without an ending, only its horizon and the time are set.
SELECT h.horizon, extract(epoch FROM now())::bigint AS now_s, e.id, e.user_id, e.session_id, e.generation,
  extract(epoch FROM e.expire_time)::bigint AS expire_s
FROM (SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint AS horizon) AS h
LEFT JOIN (
  SELECT * FROM endings WHERE transaction >= :since AND expire_time > now() ORDER BY transaction DESC LIMIT :most::bigint
) AS e ON true
ORDER BY e.id;
