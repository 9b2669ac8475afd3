DROP TABLE things, labels;
