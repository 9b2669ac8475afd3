-- compatible from: 0001
-- Which factors a login was judged by. A release that asks for no second step, and does not know of suspended accounts,
-- leaves it out: beside this release or after a roll-back it begins no session of an account that has a factor or is
-- suspended. It takes that for a credential that was deleted meanwhile, and answers as to a wrong password.
ALTER TABLE sessions ADD factor_generation bigint;

CREATE FUNCTION refuse_unjudged_session() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
  IF EXISTS (SELECT FROM credentials WHERE user_id = NEW.user_id AND (has_factor OR suspend_time IS NOT NULL)) THEN
    RAISE foreign_key_violation USING MESSAGE =
      'the account has a second factor or is suspended, and a release that knows of neither has judged this login';
  END IF;
  RETURN NEW;
END
$$;
CREATE TRIGGER sessions_unjudged BEFORE INSERT ON sessions FOR EACH ROW WHEN (NEW.factor_generation IS NULL)
  EXECUTE FUNCTION refuse_unjudged_session();
