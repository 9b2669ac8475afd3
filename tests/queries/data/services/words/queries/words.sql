-- Mistakes that are seen without a server.
SELECT 1;

-- name: lost
SELECT id FROM things;
