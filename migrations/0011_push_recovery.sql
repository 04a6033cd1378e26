CREATE TABLE "push_recovery" (
	"id" integer PRIMARY KEY DEFAULT 1 NOT NULL,
	"due_at" timestamp (3) with time zone NOT NULL,
	"after_user_id" text collate "C" DEFAULT '' NOT NULL,
	CONSTRAINT "push_recovery_single_row_check" CHECK ("push_recovery"."id" = 1)
);
