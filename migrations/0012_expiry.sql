CREATE TABLE "expiry_progress" (
	"job" text PRIMARY KEY NOT NULL,
	"at" text[] DEFAULT '{}' NOT NULL,
	"ended_at" timestamp (3) with time zone
);
--> statement-breakpoint
DROP INDEX "inbox_events_created_at_index";--> statement-breakpoint
ALTER TABLE "conversation_participants" ADD COLUMN "last_read_at" timestamp (3) with time zone;--> statement-breakpoint
UPDATE "conversation_participants" p
   SET "last_read_at" = (SELECT d."at"
                           FROM "delivery_status" d
                          WHERE d."conversation_id" = p."conversation_id" AND d."user_id" = p."user_id"
                            AND d."status" = 'read'
                          ORDER BY d."up_to_seq" DESC
                          LIMIT 1)
 WHERE p."last_read_seq" > p."joined_seq";
