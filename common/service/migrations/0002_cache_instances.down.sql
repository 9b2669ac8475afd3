DROP TABLE cache_instances;
