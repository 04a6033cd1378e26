ALTER TABLE "conversation_participants" ADD COLUMN "left_title" text;--> statement-breakpoint
ALTER TABLE "conversation_participants" ADD COLUMN "shown_seq" bigint;--> statement-breakpoint
ALTER TABLE "conversation_participants" ADD COLUMN "shown_at" timestamp (3) with time zone;