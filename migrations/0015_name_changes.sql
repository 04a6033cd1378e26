CREATE TABLE "name_changes" (
	"user_id" text collate "C" PRIMARY KEY NOT NULL,
	"told_to" uuid NOT NULL,
	"told_at" timestamp (3) with time zone NOT NULL
);
