CREATE TABLE "push_reads" (
	"user_id" text collate "C" PRIMARY KEY NOT NULL,
	"due_at" timestamp (3) with time zone NOT NULL,
	"leased_until" timestamp (3) with time zone,
	"attempts" integer DEFAULT 0 NOT NULL,
	"created_at" timestamp (3) with time zone DEFAULT now() NOT NULL
);
--> statement-breakpoint
ALTER TABLE "devices" ADD COLUMN "push_paced_until" timestamp (3) with time zone;--> statement-breakpoint
ALTER TABLE "devices" ADD COLUMN "push_cleared_at" timestamp (3) with time zone;--> statement-breakpoint
CREATE INDEX "push_reads_due_at_index" ON "push_reads" USING btree ("due_at");