CREATE TABLE things (
  id uuid PRIMARY KEY,
  colour txt NOT NULL
);
