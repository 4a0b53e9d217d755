CREATE VIEW v AS SELECT user_id FROM raw.plays;
