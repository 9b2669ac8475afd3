DROP INDEX roles_by_role;
ALTER TABLE roles DROP CONSTRAINT roles_role_fkey;
DELETE FROM roles WHERE role <> 'admin';
ALTER TABLE roles ADD CONSTRAINT roles_role_check CHECK (role IN ('admin'));
DROP TABLE role_definitions;
