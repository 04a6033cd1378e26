CREATE TABLE "erasures" (
	"user_id" text collate "C" PRIMARY KEY NOT NULL,
	"requested_by" text collate "C" NOT NULL,
	"requested_at" timestamp (3) with time zone NOT NULL,
	"due_at" timestamp (3) with time zone NOT NULL,
	"step" text NOT NULL,
	"at_id" uuid NOT NULL,
	"at_seq" bigint NOT NULL,
	"messages" bigint NOT NULL,
	"finished_at" timestamp (3) with time zone
);
--> statement-breakpoint
CREATE INDEX "erasures_due_index" ON "erasures" USING btree ("due_at") WHERE "erasures"."finished_at" is null;--> statement-breakpoint
CREATE INDEX "conversation_participants_former_index" ON "conversation_participants" USING btree ("user_id","conversation_id") WHERE "conversation_participants"."left_at" is not null;--> statement-breakpoint
CREATE INDEX "reactions_user_index" ON "reactions" USING btree ("user_id","message_id");