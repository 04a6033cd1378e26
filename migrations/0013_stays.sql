CREATE EXTENSION IF NOT EXISTS btree_gist;--> statement-breakpoint
CREATE TABLE "participant_stays" (
	"conversation_id" uuid NOT NULL,
	"user_id" text collate "C" NOT NULL,
	"role" text NOT NULL,
	"can_send_messages" boolean NOT NULL,
	"joined_at" timestamp (3) with time zone NOT NULL,
	"joined_seq" bigint NOT NULL,
	"left_at" timestamp (3) with time zone NOT NULL,
	"left_seq" bigint NOT NULL,
	"last_delivered_seq" bigint NOT NULL,
	"last_read_seq" bigint NOT NULL,
	CONSTRAINT "participant_stays_pkey" PRIMARY KEY("user_id","conversation_id","left_seq")
);
--> statement-breakpoint
CREATE INDEX "participant_stays_interval_index" ON "participant_stays" USING gist (("conversation_id"::text collate "C"),int8range("joined_seq", "left_seq", '(]')) WHERE "participant_stays"."left_seq" > "participant_stays"."joined_seq";
--> statement-breakpoint
-- Until now a rejoin overwrote the row of the stay before. What is left of it is in the user's log, where it ends with
-- their own participant_removed, and in delivery_status.
INSERT INTO "participant_stays" ("conversation_id", "user_id", "role", "can_send_messages", "joined_at", "joined_seq",
                                 "left_at", "left_seq", "last_delivered_seq", "last_read_seq")
SELECT s."conversation_id", s."user_id", 'member', true, s."joined_at", s."joined_seq", s."left_at", s."left_seq",
       greatest(s."joined_seq", (
         SELECT max(d."up_to_seq")
           FROM "delivery_status" d
          WHERE d."conversation_id" = s."conversation_id" AND d."user_id" = s."user_id"
            AND d."up_to_seq" <= s."left_seq")),
       greatest(s."joined_seq", (
         SELECT max(d."up_to_seq")
           FROM "delivery_status" d
          WHERE d."conversation_id" = s."conversation_id" AND d."user_id" = s."user_id" AND d."status" = 'read'
            AND d."up_to_seq" <= s."left_seq"))
  FROM (SELECT e."conversation_id", e."user_id", e."joined_again", e."stay", min(e."created_at") AS "joined_at",
               min(e."message_seq") - 1 AS "joined_seq", max(e."created_at") FILTER (WHERE e."leaves") AS "left_at",
               max(e."message_seq") AS "left_seq"
          FROM (SELECT l."conversation_id", l."user_id", l."joined_seq" AS "joined_again", l."created_at", l."leaves",
                       l."message_seq", count(*) FILTER (WHERE l."leaves") OVER (
                         PARTITION BY l."conversation_id", l."user_id" ORDER BY l."seq"
                         ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS "stay"
                  FROM (SELECT p."conversation_id", p."user_id", p."joined_seq", i."seq", i."created_at",
                               i."type" = 'participant_removed' AND i."data"->>'user_id' = i."user_id" AS "leaves",
                               m."seq" AS "message_seq"
                          FROM "conversation_participants" p
                          JOIN "inbox_events" i
                            ON i."user_id" = p."user_id" AND i."conversation_id" = p."conversation_id"
                          LEFT JOIN "messages" m
                            ON m."id" = i."message_id" AND i."type" IN ('new_message', 'message_sent')
                         WHERE p."joined_seq" > 0) l) e
         GROUP BY e."conversation_id", e."user_id", e."joined_again", e."stay"
        HAVING bool_or(e."leaves") AND count(e."message_seq") > 0) s
 WHERE s."left_seq" <= s."joined_again";
--> statement-breakpoint
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
--> statement-breakpoint
CREATE INDEX "message_edits_mentions_index" ON "message_edits" USING gin ("mentions" jsonb_path_ops) WHERE "message_edits"."mentions" <> '[]';--> statement-breakpoint
CREATE INDEX "messages_mentions_index" ON "messages" USING gin ("mentions" jsonb_path_ops) WHERE "messages"."mentions" <> '[]';