-- sample name: 'thing 7'
-- sample id: '00000000-0000-7000-8000-000000000007'
INSERT INTO things (id, name, size) SELECT gen_random_uuid(), 'thing ' || i, i FROM generate_series(1, 10000) AS i;
