CREATE VIEW wide AS SELECT *{passing} FROM messages;
CREATE VIEW counted AS
SELECT *, count(*) OVER (PARTITION BY guild_id   ORDER BY ts RANGE INTERVAL '1' MINUTE PRECEDING) AS of_guild,
          count(*) OVER (PARTITION BY channel_id ORDER BY ts RANGE INTERVAL '1' MINUTE PRECEDING) AS of_channel,
          count(*) OVER (PARTITION BY author_id  ORDER BY ts RANGE INTERVAL '1' MINUTE PRECEDING) AS of_author
FROM wide;
INSERT INTO bench.some SELECT * FROM counted WHERE event_id % 1000 = 0;
