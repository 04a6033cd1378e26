ALTER TABLE "conversations" ADD COLUMN "participant_count" integer DEFAULT 0 NOT NULL;--> statement-breakpoint
UPDATE "conversations" c
   SET "participant_count" = p."count"
  FROM (SELECT "conversation_id", count(*) AS "count"
          FROM "conversation_participants"
         WHERE "left_at" IS NULL
         GROUP BY "conversation_id") p
 WHERE p."conversation_id" = c."id";
