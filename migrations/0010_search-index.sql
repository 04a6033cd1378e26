CREATE TABLE "message_words" (
	"message_id" uuid PRIMARY KEY NOT NULL,
	"conversation_id" uuid NOT NULL,
	"words" "tsvector" NOT NULL
);
--> statement-breakpoint
CREATE TABLE "search_progress" (
	"conversation_id" uuid PRIMARY KEY NOT NULL,
	"indexed_seq" bigint NOT NULL
);
--> statement-breakpoint
DROP INDEX "messages_search_index";--> statement-breakpoint
CREATE INDEX "message_words_index" ON "message_words" USING gin ("conversation_id","words");