-- compatible from: 0001
-- Roles that admins have made, with what they hold, beside `admin`, which holds everything and has a row so that accounts
-- can refer to it. `user` is held by every account and has none. `ending`: the role is being taken from its holders.
CREATE TABLE role_definitions (
  name        text PRIMARY KEY,
  permissions text[] NOT NULL DEFAULT '{}',
  built_in    boolean NOT NULL DEFAULT false,
  ending      boolean NOT NULL DEFAULT false,
  create_time timestamptz NOT NULL DEFAULT now(),
  update_time timestamptz NOT NULL DEFAULT now()
);
INSERT INTO role_definitions (name, built_in) VALUES ('admin', true);
ALTER TABLE roles DROP CONSTRAINT roles_role_check;
ALTER TABLE roles ADD CONSTRAINT roles_role_fkey FOREIGN KEY (role) REFERENCES role_definitions;
CREATE INDEX roles_by_role ON roles (role, user_id);
