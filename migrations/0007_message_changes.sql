ALTER TABLE "messages" ADD COLUMN "withdrawn_at" timestamp (3) with time zone;--> statement-breakpoint
ALTER TABLE "reactions" ADD COLUMN "hidden" boolean DEFAULT false NOT NULL;