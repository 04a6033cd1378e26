CREATE TABLE "drafts" (
	"user_id" text collate "C" NOT NULL,
	"conversation_id" uuid NOT NULL,
	"content" text NOT NULL,
	"updated_at" timestamp (3) with time zone NOT NULL,
	CONSTRAINT "drafts_pkey" PRIMARY KEY("user_id","conversation_id")
);
--> statement-breakpoint
ALTER TABLE "drafts" ADD CONSTRAINT "drafts_participant_fk" FOREIGN KEY ("conversation_id","user_id") REFERENCES "public"."conversation_participants"("conversation_id","user_id") ON DELETE no action ON UPDATE no action;