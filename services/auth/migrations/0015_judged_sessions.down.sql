DROP TRIGGER sessions_unjudged ON sessions;
DROP FUNCTION refuse_unjudged_session();
ALTER TABLE sessions DROP factor_generation;
