-- name: unfinished :one
SELECT E'\