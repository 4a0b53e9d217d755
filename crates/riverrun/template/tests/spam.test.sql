TEST 'a sender that bursts is rate limited once';
GIVEN messages (message_id, sender_id, recipient_id, text_len, has_link, sent_at)
  SELECT 'm' || i, 1, i, 20, false, TIMESTAMP '2026-01-01 00:00:00' + i * INTERVAL '500 ms'
  FROM generate_series(1, 30) AS g(i);
GIVEN MODEL spam SCORES 0.1;
EXPECT sender_features (message_id, msgs_1m, recipients_1h) VALUES ('m1', 1, 1), ('m30', 30, 30);
EXPECT EXACTLY dm_spam (subject, acted, action) VALUES (1, 'burst', 'rate_limit');

TEST 'the model blocks where no rule does';
GIVEN messages (message_id, sender_id, recipient_id, text_len, has_link, sent_at) VALUES
  ('a', 2, 7, 40, true, TIMESTAMP '2026-01-01 00:00:00');
GIVEN MODEL spam SCORES 0.95;
EXPECT dm_spam (subject, acted, action) VALUES (2, 'model_high', 'block');
