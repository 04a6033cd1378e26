ALTER TABLE "conversations" ADD COLUMN "members_version" integer DEFAULT 0 NOT NULL;
--> statement-breakpoint
CREATE FUNCTION "refuse_stale_rows"() RETURNS integer LANGUAGE plpgsql AS $$
BEGIN
	RAISE EXCEPTION 'rows were changed by another transaction' USING ERRCODE = 'serialization_failure';
END;
$$;
