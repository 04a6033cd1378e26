CREATE EXTENSION IF NOT EXISTS btree_gin;--> statement-breakpoint
CREATE TABLE "message_attachments" (
	"message_id" uuid NOT NULL,
	"position" integer NOT NULL,
	"attachment_id" uuid NOT NULL,
	CONSTRAINT "message_attachments_pkey" PRIMARY KEY("message_id","position")
);
--> statement-breakpoint
DROP INDEX "attachments_message_index";--> statement-breakpoint
ALTER TABLE "attachments" ADD COLUMN "released_at" timestamp (3) with time zone;--> statement-breakpoint
ALTER TABLE "users" ADD COLUMN "name_changed_at" timestamp (3) with time zone;--> statement-breakpoint
ALTER TABLE "message_attachments" ADD CONSTRAINT "message_attachments_attachment_fk" FOREIGN KEY ("attachment_id") REFERENCES "public"."attachments"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
CREATE INDEX "message_attachments_attachment_index" ON "message_attachments" USING btree ("attachment_id");--> statement-breakpoint
CREATE INDEX "attachments_owner_index" ON "attachments" USING btree ("owner_user_id");--> statement-breakpoint
CREATE INDEX "attachments_released_at_index" ON "attachments" USING btree ("released_at") WHERE "attachments"."released_at" is not null;--> statement-breakpoint
CREATE INDEX "messages_search_index" ON "messages" USING gin ("conversation_id",to_tsvector('simple', "content"));--> statement-breakpoint
ALTER TABLE "attachments" DROP COLUMN "message_id";