-- name: open :one
SELECT id
FROM things

-- name: closed :one
SELECT id FROM things;
