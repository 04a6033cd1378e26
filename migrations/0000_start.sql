CREATE SEQUENCE "public"."device_leases" INCREMENT BY 1 MINVALUE 1 MAXVALUE 9223372036854775807 START WITH 1 CACHE 1;--> statement-breakpoint
CREATE TABLE "attachments" (
	"id" uuid PRIMARY KEY NOT NULL,
	"owner_user_id" text collate "C" NOT NULL,
	"message_id" uuid,
	"content_type" text NOT NULL,
	"file_name" text,
	"size" bigint NOT NULL,
	"created_at" timestamp (3) with time zone DEFAULT now() NOT NULL
);
--> statement-breakpoint
CREATE TABLE "audit_log" (
	"id" uuid PRIMARY KEY NOT NULL,
	"actor_user_id" text collate "C" NOT NULL,
	"action" text NOT NULL,
	"subject_user_id" text collate "C",
	"details" jsonb,
	"created_at" timestamp (3) with time zone DEFAULT now() NOT NULL
);
--> statement-breakpoint
CREATE TABLE "blocks" (
	"blocker_user_id" text collate "C" NOT NULL,
	"blocked_user_id" text collate "C" NOT NULL,
	"created_at" timestamp (3) with time zone DEFAULT now() NOT NULL,
	CONSTRAINT "blocks_pkey" PRIMARY KEY("blocker_user_id","blocked_user_id")
);
--> statement-breakpoint
CREATE TABLE "conversation_participants" (
	"conversation_id" uuid NOT NULL,
	"user_id" text collate "C" NOT NULL,
	"role" text DEFAULT 'member' NOT NULL,
	"can_send_messages" boolean DEFAULT true NOT NULL,
	"joined_at" timestamp (3) with time zone NOT NULL,
	"joined_seq" bigint NOT NULL,
	"left_at" timestamp (3) with time zone,
	"left_seq" bigint,
	"last_delivered_seq" bigint DEFAULT 0 NOT NULL,
	"last_read_seq" bigint DEFAULT 0 NOT NULL,
	"muted_until" timestamp (3) with time zone,
	CONSTRAINT "conversation_participants_pkey" PRIMARY KEY("conversation_id","user_id"),
	CONSTRAINT "conversation_participants_role_check" CHECK ("conversation_participants"."role" in ('admin', 'member'))
);
--> statement-breakpoint
CREATE TABLE "conversations" (
	"id" uuid PRIMARY KEY NOT NULL,
	"type" text NOT NULL,
	"direct_key" text,
	"title" text,
	"last_seq" bigint DEFAULT 0 NOT NULL,
	"last_message_id" uuid,
	"last_message_at" timestamp (3) with time zone,
	"last_activity_at" timestamp (3) with time zone NOT NULL,
	"message_count" bigint DEFAULT 0 NOT NULL,
	"created_at" timestamp (3) with time zone DEFAULT now() NOT NULL,
	CONSTRAINT "conversations_direct_key_unique" UNIQUE("direct_key"),
	CONSTRAINT "conversations_type_check" CHECK ("conversations"."type" in ('direct', 'group'))
);
--> statement-breakpoint
CREATE TABLE "delivery_status" (
	"conversation_id" uuid NOT NULL,
	"user_id" text collate "C" NOT NULL,
	"status" text NOT NULL,
	"up_to_seq" bigint NOT NULL,
	"at" timestamp (3) with time zone NOT NULL,
	"client_at" timestamp (3) with time zone,
	CONSTRAINT "delivery_status_pkey" PRIMARY KEY("conversation_id","user_id","status","up_to_seq"),
	CONSTRAINT "delivery_status_status_check" CHECK ("delivery_status"."status" in ('delivered', 'read'))
);
--> statement-breakpoint
CREATE TABLE "devices" (
	"user_id" text collate "C" NOT NULL,
	"device_id" text NOT NULL,
	"platform" text,
	"push_token" text,
	"acked_seq" bigint,
	"pushed_seq" bigint DEFAULT 0 NOT NULL,
	"pushed_at" timestamp (3) with time zone,
	"subscriptions" jsonb,
	"lease" bigint,
	"registered_at" timestamp (3) with time zone,
	"last_seen_at" timestamp (3) with time zone DEFAULT now() NOT NULL,
	CONSTRAINT "devices_pkey" PRIMARY KEY("user_id","device_id"),
	CONSTRAINT "devices_push_token_unique" UNIQUE("push_token"),
	CONSTRAINT "devices_platform_check" CHECK ("devices"."platform" in ('android', 'ios', 'web'))
);
--> statement-breakpoint
CREATE TABLE "inbox_events" (
	"user_id" text collate "C" NOT NULL,
	"seq" bigint NOT NULL,
	"type" text NOT NULL,
	"conversation_id" uuid,
	"message_id" uuid,
	"data" jsonb,
	"created_at" timestamp (3) with time zone NOT NULL,
	CONSTRAINT "inbox_events_pkey" PRIMARY KEY("user_id","seq")
);
--> statement-breakpoint
CREATE TABLE "message_edits" (
	"message_id" uuid NOT NULL,
	"version" integer NOT NULL,
	"content" text NOT NULL,
	"mentions" jsonb NOT NULL,
	"replaced_at" timestamp (3) with time zone NOT NULL,
	CONSTRAINT "message_edits_pkey" PRIMARY KEY("message_id","version")
);
--> statement-breakpoint
CREATE TABLE "messages" (
	"id" uuid PRIMARY KEY NOT NULL,
	"conversation_id" uuid NOT NULL,
	"seq" bigint NOT NULL,
	"sender_user_id" text collate "C" NOT NULL,
	"content" text,
	"message_type" text NOT NULL,
	"mentions" jsonb DEFAULT '[]'::jsonb NOT NULL,
	"reply_to_id" uuid,
	"client_message_id" text,
	"client_fingerprint" text,
	"hidden" boolean DEFAULT false NOT NULL,
	"created_at" timestamp (3) with time zone NOT NULL,
	"edited_at" timestamp (3) with time zone,
	"deleted_at" timestamp (3) with time zone,
	CONSTRAINT "messages_conversation_seq_unique" UNIQUE("conversation_id","seq"),
	CONSTRAINT "messages_client_message_id_unique" UNIQUE("sender_user_id","client_message_id")
);
--> statement-breakpoint
CREATE TABLE "meta" (
	"id" integer PRIMARY KEY DEFAULT 1 NOT NULL,
	"epoch" uuid DEFAULT gen_random_uuid() NOT NULL,
	"inbox_floor" timestamp (3) with time zone,
	CONSTRAINT "meta_single_row_check" CHECK ("meta"."id" = 1)
);
--> statement-breakpoint
CREATE TABLE "push_due" (
	"user_id" text collate "C" PRIMARY KEY NOT NULL,
	"seq" bigint NOT NULL,
	"due_at" timestamp (3) with time zone NOT NULL,
	"leased_until" timestamp (3) with time zone,
	"attempts" integer DEFAULT 0 NOT NULL,
	"created_at" timestamp (3) with time zone DEFAULT now() NOT NULL
);
--> statement-breakpoint
CREATE TABLE "reactions" (
	"message_id" uuid NOT NULL,
	"user_id" text collate "C" NOT NULL,
	"emoji" text NOT NULL,
	"created_at" timestamp (3) with time zone DEFAULT now() NOT NULL,
	CONSTRAINT "reactions_pkey" PRIMARY KEY("message_id","user_id","emoji")
);
--> statement-breakpoint
CREATE TABLE "users" (
	"id" text collate "C" PRIMARY KEY NOT NULL,
	"name" text,
	"avatar" uuid,
	"inbox_seq" bigint DEFAULT 0 NOT NULL,
	"acked_seq" bigint DEFAULT 0 NOT NULL,
	"tokens_valid_after" timestamp (3) with time zone,
	"last_seen_at" timestamp (3) with time zone,
	"created_at" timestamp (3) with time zone DEFAULT now() NOT NULL
);
--> statement-breakpoint
ALTER TABLE "conversation_participants" ADD CONSTRAINT "conversation_participants_conversation_fk" FOREIGN KEY ("conversation_id") REFERENCES "public"."conversations"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "conversation_participants" ADD CONSTRAINT "conversation_participants_user_fk" FOREIGN KEY ("user_id") REFERENCES "public"."users"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "devices" ADD CONSTRAINT "devices_user_fk" FOREIGN KEY ("user_id") REFERENCES "public"."users"("id") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
CREATE INDEX "attachments_message_index" ON "attachments" USING btree ("message_id");--> statement-breakpoint
CREATE INDEX "audit_log_created_at_index" ON "audit_log" USING btree ("created_at");--> statement-breakpoint
CREATE INDEX "conversation_participants_user_index" ON "conversation_participants" USING btree ("user_id","conversation_id") WHERE "conversation_participants"."left_at" is null;--> statement-breakpoint
CREATE INDEX "inbox_events_created_at_index" ON "inbox_events" USING brin ("created_at");--> statement-breakpoint
CREATE INDEX "push_due_due_at_index" ON "push_due" USING btree ("due_at");
--> statement-breakpoint
INSERT INTO "meta" DEFAULT VALUES;
--> statement-breakpoint
-- Counters and marks are updated in place all the time and are in no index: with
-- room left on each page those updates stay heap-only (HOT) and touch no index.
ALTER TABLE "users" SET (fillfactor = 70);
--> statement-breakpoint
ALTER TABLE "conversations" SET (fillfactor = 70);
--> statement-breakpoint
ALTER TABLE "conversation_participants" SET (fillfactor = 70);
--> statement-breakpoint
ALTER TABLE "devices" SET (fillfactor = 70);
